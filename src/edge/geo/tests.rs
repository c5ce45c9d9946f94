//! Tests of location files: both formats, what is taken of their records, and files that change.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use super::testing::{Data, mmdb, nested, xdb};
use super::watch::Watch;
use super::*;
use crate::core::event::{EventType, Place};
use crate::core::time::Time;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

fn only(database: PathBuf) -> GeoSettings {
    GeoSettings { database, networks: None, cities: None }
}

fn found<'a>(locations: &'a Locations, address: &str) -> Option<Located<'a>> {
    locations.find(address.parse().unwrap())
}

fn located<'a>(
    country: &'a str,
    region: &'a str,
    city: &'a str,
    place: Option<(f64, f64, f64)>,
) -> Located<'a> {
    Located {
        country: Cow::Borrowed(country),
        region: Cow::Borrowed(region),
        city: Cow::Borrowed(city),
        place: place.map(|(latitude, longitude, accuracy_km)| Place { latitude, longitude, accuracy_km }),
        ..Located::default()
    }
}

#[test]
fn nested_and_flat_records_say_the_same() {
    let folder = Folder::new();
    let flat = Data::Map(vec![
        ("city", Data::Text("Oslo")),
        ("country_code", Data::Text("NO")),
        ("latitude", Data::Text("59.9")),
        ("longitude", Data::Double(10.7)),
        ("postcode", Data::Text("")),
        ("state1", Data::Text("Oslo County")),
    ]);
    let subdivided = Data::Map(vec![
        ("country", Data::Map(vec![("iso_code", Data::Text("CN"))])),
        (
            "subdivisions",
            Data::List(vec![
                Data::Map(vec![
                    ("names", Data::Map(vec![("en", Data::Text("Guangdong"))])),
                    ("iso_code", Data::Text("GD")),
                ]),
                Data::Map(vec![("iso_code", Data::Text("X"))]),
            ]),
        ),
        ("location", Data::Map(vec![("latitude", Data::Double(0.0)), ("longitude", Data::Double(0.0))])),
        ("traits", Data::Map(vec![("is_satellite_provider", Data::Flag(true))])),
    ]);
    let bytes = mmdb(&[
        ([203, 0, 113, 0], 24, nested("CN", "Shenzhen", 22.5, 114.1)),
        ([198, 51, 100, 0], 24, flat),
        ([192, 0, 2, 128], 25, subdivided),
    ]);
    let locations = Locations::load(&only(folder.write("city.mmdb", &bytes))).unwrap();
    let nested = located("CN", "", "Shenzhen", Some((22.5, 114.1, 20.0)));
    assert_eq!(found(&locations, "203.0.113.7"), Some(nested.clone()));
    assert_eq!(found(&locations, "::ffff:203.0.113.7"), Some(nested));
    let flat = located("NO", "Oslo County", "Oslo", Some((59.9, 10.7, 50.0)));
    assert_eq!(found(&locations, "198.51.100.255"), Some(flat));
    let satellite = Located { network: "satellite".into(), ..located("CN", "GD", "", None) };
    assert_eq!(found(&locations, "192.0.2.200"), Some(satellite));
    for unknown in ["192.0.2.1", "10.0.0.1", "2001:db8::1"] {
        assert_eq!(found(&locations, unknown), None, "{unknown}");
    }
}

#[test]
fn a_database_of_networks_adds_what_the_other_lacks() {
    let folder = Folder::new();
    let asn = |number, organization| {
        Data::Map(vec![
            ("autonomous_system_number", Data::Whole(number)),
            ("autonomous_system_organization", Data::Text(organization)),
        ])
    };
    let hidden = Data::Map(vec![("is_anonymous_vpn", Data::Flag(true))]);
    let city =
        folder.write("city.mmdb", &mmdb(&[([203, 0, 113, 0], 24, nested("CN", "Shenzhen", 22.5, 114.1))]));
    let networks =
        mmdb(&[([203, 0, 113, 0], 24, asn(4134, "China Telecom")), ([198, 51, 100, 0], 24, hidden)]);
    let settings = GeoSettings { networks: Some(folder.write("asn.mmdb", &networks)), ..only(city) };
    let locations = Locations::load(&settings).unwrap();
    let both = found(&locations, "203.0.113.7").unwrap();
    assert_eq!(
        (both.city.as_ref(), both.asn, both.network.as_ref()),
        ("Shenzhen", Some(4134), "China Telecom")
    );
    assert_eq!(found(&locations, "198.51.100.1").unwrap().network, "vpn");
}

#[test]
fn an_xdb_names_places_and_a_table_of_cities_says_where_they_are() {
    let folder = Folder::new();
    let bytes = xdb(&[
        ([1, 0, 0, 0], [1, 0, 0, 255], "澳大利亚|0|0|0|0"),
        ([1, 0, 1, 0], [1, 0, 3, 255], "中国|0|福建省|福州市|电信"),
        ([1, 0, 8, 0], [1, 0, 15, 255], "中国|广东省|广州市|电信|CN"),
        ([223, 255, 0, 0], [223, 255, 255, 255], "中国|0|广东省|0|移动"),
    ]);
    let cities =
        "region,city,latitude,longitude,accuracy_km\n福建省,福州市,26.07,119.3,40\n广东省,,23.4,113.2,300\n";
    let database = folder.write("ip2region.xdb", &bytes);
    let settings =
        GeoSettings { cities: Some(folder.write("cities.csv", cities.as_bytes())), ..only(database.clone()) };
    let locations = Locations::load(&settings).unwrap();
    let fuzhou = Located {
        network: "电信".into(),
        ..located("CN", "福建省", "福州市", Some((26.07, 119.3, 40.0)))
    };
    for address in ["1.0.1.0", "1.0.2.77", "1.0.3.255"] {
        assert_eq!(found(&locations, address).as_ref(), Some(&fuzhou), "{address}");
    }
    assert_eq!(found(&locations, "1.0.0.1"), Some(located("澳大利亚", "", "", None)));
    let guangzhou = found(&locations, "1.0.8.0").unwrap();
    assert_eq!((guangzhou.country.as_ref(), guangzhou.city.as_ref()), ("CN", "广州市"));
    assert_eq!(guangzhou.place.unwrap().accuracy_km, 300.0, "what is said of the region");
    assert_eq!(found(&locations, "223.255.9.9").unwrap().network, "移动");
    for unknown in ["1.0.4.0", "1.0.16.0", "1.1.0.0", "9.9.9.9", "2001:db8::1"] {
        assert_eq!(found(&locations, unknown), None, "{unknown}");
    }
    assert_eq!(found(&Locations::load(&only(database)).unwrap(), "1.0.1.1").unwrap().place, None);
}

#[test]
fn every_address_of_an_xdb_is_found_in_the_range_that_holds_it() {
    let ranges: Vec<_> = (0..200_u8)
        .map(|third| {
            ([10, 7, third, 0], [10, 7, third, 199], if third % 2 == 0 { "a|0|b|c|d" } else { "e|0|f|g|h" })
        })
        .collect();
    let database = Xdb::new(xdb(&ranges)).unwrap();
    let mut seen = 0;
    for third in 0..=255_u8 {
        for fourth in [0, 1, 120, 199, 200, 255_u8] {
            let found = database.find(IpAddr::from([10, 7, third, fourth]));
            let expected = (third < 200 && fourth < 200).then_some(if third % 2 == 0 { "a" } else { "e" });
            assert_eq!(
                found.as_ref().map(|located| located.country.as_ref()),
                expected,
                "10.7.{third}.{fourth}"
            );
            seen += usize::from(found.is_some());
        }
    }
    assert_eq!(seen, 200 * 4);
}

#[test]
fn an_event_is_filled_when_it_has_an_address_and_says_nothing_itself() {
    let folder = Folder::new();
    let bytes = mmdb(&[([203, 0, 113, 0], 24, nested("CN", "Shenzhen", 22.5, 114.1))]);
    let locations = Arc::new(Locations::load(&only(folder.write("city.mmdb", &bytes))).unwrap());
    let locator = Locator::new(locations, TypeSet::of(EventType::LoginSucceeded));
    let filled = |event_type, fields: &[(TextField, &'static str)]| {
        let mut event = Event::new(event_type, Time::MIN);
        for (field, text) in fields {
            event.set_text(*field, (*text).into());
        }
        locator.locate(&mut event);
        (event.text(TextField::GeoCountry).map(str::to_owned), event.place.is_some(), event.edition > 0)
    };
    let address = (TextField::Ip, "203.0.113.7");
    assert_eq!(filled(EventType::LoginSucceeded, &[address]), (Some("CN".to_owned()), true, true));
    let own = filled(EventType::LoginSucceeded, &[address, (TextField::GeoCountry, "NO")]);
    assert_eq!(own, (Some("NO".to_owned()), false, false), "the platform knows better");
    assert_eq!(filled(EventType::OrderPaid, &[address]), (None, false, false), "no rule asks");
    assert_eq!(filled(EventType::LoginSucceeded, &[(TextField::Ip, "nowhere")]), (None, false, false));
}

#[test]
fn what_is_no_location_file_is_refused_with_a_reason() {
    let folder = Folder::new();
    let whole = mmdb(&[([203, 0, 113, 0], 24, nested("CN", "Shenzhen", 22.5, 114.1))]);
    let good = folder.write("good.mmdb", &whole);
    let ranges = xdb(&[([1, 0, 0, 0], [1, 0, 0, 255], "a|b|c|d|e")]);
    let problem = |settings: &GeoSettings| match Locations::load(settings) {
        Ok(_) => panic!("{settings:?} is sound"),
        Err(error) => error.to_string(),
    };
    for (name, bytes, said) in [
        ("empty.mmdb", b"".as_slice(), "empty.mmdb is no location database: "),
        ("text.mmdb", b"not a database", "text.mmdb is no location database: "),
        ("cut.mmdb", &whole[..whole.len() / 2], "cut.mmdb is no location database: "),
        ("text.xdb", b"not a database", "text.xdb is no location database: it ends within its header"),
        ("other.xdb", &[9; 300], "expected 2 or 3 of ip2region's xdb"),
        ("cut.xdb", &ranges[..ranges.len() - 5], "is broken"),
    ] {
        let problem = problem(&only(folder.write(name, bytes)));
        assert!(problem.contains(said), "{name}: {problem}");
    }
    assert!(problem(&only(folder.0.path().join("none.mmdb"))).starts_with("cannot read "));
    assert!(problem(&only(folder.0.path().to_owned())).ends_with("is no file, or larger than 2 GiB"));
    for (text, said) in [
        ("city,latitude,longitude\n", "it has no column `region`"),
        ("region,city,latitude,longitude\na,b,91,0\n", "line 2 has \"91\" for a number from -90 to 90"),
        ("region,city,latitude,longitude\na,b,1\n", "line 2 has \"\" for a number from -180 to 180"),
    ] {
        let cities = Some(folder.write("cities.csv", text.as_bytes()));
        let problem = problem(&GeoSettings { cities, ..only(good.clone()) });
        assert!(problem.contains(said), "{problem}");
    }
}

#[test]
fn a_file_that_vanishes_or_holds_junk_leaves_the_old_one_in_use() {
    let folder = Folder::new();
    let database = |city| mmdb(&[([203, 0, 113, 0], 24, nested("CN", city, 22.5, 114.1))]);
    let path = folder.write("city.mmdb", &database("Shenzhen"));
    let watch = Watch::open(only(path.clone())).unwrap();
    let city = || found(&watch.current(), "203.0.113.7").unwrap().city.into_owned();
    let first = watch.current().edition;

    folder.write("city.mmdb", b"junk");
    watch.reload();
    std::fs::remove_file(&path).unwrap();
    watch.reload();
    let figures = watch.figures();
    assert_eq!((city().as_str(), figures.reloads, figures.failures), ("Shenzhen", 0, 2));
    assert!(figures.problem.unwrap().contains("No such file"));

    folder.write("city.mmdb", &database("Dongguan"));
    watch.reload();
    let figures = watch.figures();
    assert_eq!(
        (city().as_str(), figures.reloads, figures.failures, figures.problem),
        ("Dongguan", 1, 2, None)
    );
    let edition = watch.current().edition;
    assert!((1..=7).contains(&edition) && edition != first, "{first} {edition}");
}
