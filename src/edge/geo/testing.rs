//! Small location databases for tests, written here: in MaxMind's format (IPv4, records of 24 bits) and in ip2region's.

/// A value of a record.
pub enum Data {
    Text(&'static str),
    Double(f64),
    Whole(u32),
    Short(u16),
    Long(u64),
    Flag(bool),
    Map(Vec<(&'static str, Data)>),
    List(Vec<Data>),
}

impl Data {
    fn write(&self, into: &mut Vec<u8>) {
        match self {
            Self::Text(text) => {
                head(2, text.len(), into);
                into.extend_from_slice(text.as_bytes());
            }
            Self::Double(number) => {
                head(3, 8, into);
                into.extend_from_slice(&number.to_be_bytes());
            }
            Self::Whole(number) => {
                head(6, 4, into);
                into.extend_from_slice(&number.to_be_bytes());
            }
            Self::Short(number) => {
                head(5, 2, into);
                into.extend_from_slice(&number.to_be_bytes());
            }
            Self::Long(number) => {
                head(9, 8, into);
                into.extend_from_slice(&number.to_be_bytes());
            }
            Self::Flag(flag) => head(14, usize::from(*flag), into),
            Self::Map(entries) => {
                head(7, entries.len(), into);
                for (key, value) in entries {
                    Self::Text(key).write(into);
                    value.write(into);
                }
            }
            Self::List(items) => {
                head(11, items.len(), into);
                items.iter().for_each(|item| item.write(into));
            }
        }
    }
}

/// Kind and size; a long size stands in bytes of its own, and kinds above 7 do as well.
fn head(kind: u8, size: usize, into: &mut Vec<u8>) {
    let (short, long) = if size < 29 { (size as u8, None) } else { (29, Some((size - 29) as u8)) };
    if kind > 7 {
        into.extend([short, kind - 7]);
    } else {
        into.push(kind << 5 | short);
    }
    into.extend(long);
}

/// A database with a record for each network.
pub fn mmdb(records: &[([u8; 4], u8, Data)]) -> Vec<u8> {
    #[derive(Clone, Copy)]
    enum Leads {
        Nowhere,
        Node(usize),
        Data(usize),
    }
    let mut nodes = vec![[Leads::Nowhere; 2]];
    let mut data = Vec::new();
    for (network, length, record) in records {
        let place = data.len();
        record.write(&mut data);
        let bits = u32::from_be_bytes(*network);
        let mut node = 0;
        for depth in 0..*length {
            let side = (bits >> (31 - depth) & 1) as usize;
            if depth + 1 == *length {
                nodes[node][side] = Leads::Data(place);
            } else if let Leads::Node(next) = nodes[node][side] {
                node = next;
            } else {
                nodes.push([Leads::Nowhere; 2]);
                let next = nodes.len() - 1;
                nodes[node][side] = Leads::Node(next);
                node = next;
            }
        }
    }
    let count = nodes.len();
    let mut bytes = Vec::new();
    for leads in nodes.iter().flatten() {
        let number = match leads {
            Leads::Nowhere => count,
            Leads::Node(node) => *node,
            Leads::Data(place) => count + 16 + place,
        };
        bytes.extend_from_slice(&(number as u32).to_be_bytes()[1..]);
    }
    bytes.extend([0; 16]);
    bytes.extend(data);
    bytes.extend(b"\xab\xcd\xefMaxMind.com");
    Data::Map(vec![
        ("node_count", Data::Whole(count as u32)),
        ("record_size", Data::Short(24)),
        ("ip_version", Data::Short(4)),
        ("binary_format_major_version", Data::Short(2)),
        ("binary_format_minor_version", Data::Short(0)),
        ("build_epoch", Data::Long(1_790_000_000)),
        ("database_type", Data::Text("Test-City")),
        ("languages", Data::List(vec![Data::Text("en")])),
        ("description", Data::Map(vec![("en", Data::Text("for tests"))])),
    ])
    .write(&mut bytes);
    bytes
}

/// A nested record, as MaxMind's city databases have them.
pub fn nested(country: &'static str, city: &'static str, latitude: f64, longitude: f64) -> Data {
    Data::Map(vec![
        ("city", Data::Map(vec![("names", Data::Map(vec![("en", Data::Text(city))]))])),
        ("country", Data::Map(vec![("geoname_id", Data::Whole(1)), ("iso_code", Data::Text(country))])),
        (
            "location",
            Data::Map(vec![
                ("accuracy_radius", Data::Whole(20)),
                ("latitude", Data::Double(latitude)),
                ("longitude", Data::Double(longitude)),
            ]),
        ),
    ])
}

/// An xdb of version 2 with a line for each range. A range lies within one network of 16 bits.
pub fn xdb(ranges: &[([u8; 4], [u8; 4], &str)]) -> Vec<u8> {
    const LINES: usize = 256 + 256 * 256 * 8;
    let mut bytes = vec![0; LINES];
    let mut places = Vec::new();
    for (_, _, line) in ranges {
        places.push(bytes.len());
        bytes.extend_from_slice(line.as_bytes());
    }
    let first = bytes.len();
    for ((start, end, line), place) in ranges.iter().zip(&places) {
        let at = bytes.len() as u32;
        for address in [start, end] {
            bytes.extend(address.iter().rev());
        }
        bytes.extend((line.len() as u16).to_le_bytes());
        bytes.extend((*place as u32).to_le_bytes());
        let vector = 256 + (usize::from(start[0]) * 256 + usize::from(start[1])) * 8;
        if bytes[vector..vector + 4] == [0; 4] {
            bytes[vector..vector + 4].copy_from_slice(&at.to_le_bytes());
        }
        bytes[vector + 4..vector + 8].copy_from_slice(&(at + 14).to_le_bytes());
    }
    let last = bytes.len() - 14;
    bytes[0] = 2;
    bytes[8..12].copy_from_slice(&(first as u32).to_le_bytes());
    bytes[12..16].copy_from_slice(&(last as u32).to_le_bytes());
    bytes
}
