//! Where the simulated customers are: regions, cities, networks. Fixed tables; the coordinates are those of real cities.

/// A province (or a city of that rank) as orders name it in `region`.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    pub name: &'static str,
    /// Share of the platform's customers who live here.
    pub share: f64,
}

#[derive(Clone, Copy, Debug)]
pub struct City {
    pub name: &'static str,
    pub country: &'static str,
    pub region: &'static str,
    pub latitude: f64,
    pub longitude: f64,
}

pub const REGIONS: [Region; 12] = [
    Region { name: "guangdong", share: 0.18 },
    Region { name: "jiangsu", share: 0.12 },
    Region { name: "zhejiang", share: 0.11 },
    Region { name: "shandong", share: 0.11 },
    Region { name: "henan", share: 0.09 },
    Region { name: "sichuan", share: 0.09 },
    Region { name: "hubei", share: 0.07 },
    Region { name: "hunan", share: 0.06 },
    Region { name: "beijing", share: 0.06 },
    Region { name: "shanghai", share: 0.05 },
    Region { name: "fujian", share: 0.035 },
    Region { name: "liaoning", share: 0.025 },
];

const fn city(
    name: &'static str,
    country: &'static str,
    region: &'static str,
    latitude: f64,
    longitude: f64,
) -> City {
    City { name, country, region, latitude, longitude }
}

/// Two cities for each region, at twice its index and the place after it, then those abroad.
pub const CITIES: [City; 46] = [
    city("Guangzhou", "CN", "guangdong", 23.13, 113.26),
    city("Shenzhen", "CN", "guangdong", 22.54, 114.06),
    city("Nanjing", "CN", "jiangsu", 32.06, 118.80),
    city("Suzhou", "CN", "jiangsu", 31.30, 120.58),
    city("Hangzhou", "CN", "zhejiang", 30.27, 120.16),
    city("Ningbo", "CN", "zhejiang", 29.87, 121.54),
    city("Jinan", "CN", "shandong", 36.65, 117.12),
    city("Qingdao", "CN", "shandong", 36.07, 120.38),
    city("Zhengzhou", "CN", "henan", 34.75, 113.63),
    city("Luoyang", "CN", "henan", 34.62, 112.45),
    city("Chengdu", "CN", "sichuan", 30.57, 104.07),
    city("Mianyang", "CN", "sichuan", 31.47, 104.68),
    city("Wuhan", "CN", "hubei", 30.59, 114.31),
    city("Yichang", "CN", "hubei", 30.69, 111.29),
    city("Changsha", "CN", "hunan", 28.23, 112.94),
    city("Hengyang", "CN", "hunan", 26.89, 112.57),
    city("Beijing", "CN", "beijing", 39.90, 116.40),
    city("Tongzhou", "CN", "beijing", 39.91, 116.66),
    city("Shanghai", "CN", "shanghai", 31.23, 121.47),
    city("Jiading", "CN", "shanghai", 31.38, 121.27),
    city("Fuzhou", "CN", "fujian", 26.07, 119.30),
    city("Xiamen", "CN", "fujian", 24.48, 118.09),
    city("Shenyang", "CN", "liaoning", 41.80, 123.43),
    city("Dalian", "CN", "liaoning", 38.91, 121.61),
    city("Tokyo", "JP", "Tokyo", 35.68, 139.69),
    city("Osaka", "JP", "Osaka", 34.69, 135.50),
    city("Seoul", "KR", "Seoul", 37.57, 126.98),
    city("Singapore", "SG", "Singapore", 1.35, 103.82),
    city("Bangkok", "TH", "Bangkok", 13.76, 100.50),
    city("Kuala Lumpur", "MY", "Kuala Lumpur", 3.15, 101.69),
    city("Sydney", "AU", "New South Wales", -33.87, 151.21),
    city("Paris", "FR", "Ile-de-France", 48.86, 2.35),
    city("London", "GB", "England", 51.51, -0.13),
    city("Dubai", "AE", "Dubai", 25.20, 55.27),
    city("Los Angeles", "US", "California", 34.05, -118.24),
    city("San Jose", "US", "California", 37.34, -121.89),
    city("Frankfurt", "DE", "Hesse", 50.11, 8.68),
    city("Amsterdam", "NL", "North Holland", 52.37, 4.90),
    city("Moscow", "RU", "Moscow", 55.76, 37.62),
    city("Lagos", "NG", "Lagos", 6.52, 3.38),
    city("Sao Paulo", "BR", "Sao Paulo", -23.55, -46.63),
    city("Bucharest", "RO", "Bucharest", 44.43, 26.10),
    city("Jakarta", "ID", "Jakarta", -6.21, 106.85),
    city("Hanoi", "VN", "Hanoi", 21.03, 105.85),
    city("Manila", "PH", "Metro Manila", 14.60, 120.98),
    city("Kyiv", "UA", "Kyiv", 50.45, 30.52),
];

/// The number of cities at home, which come first in [`CITIES`].
pub const CITIES_AT_HOME: u8 = 24;
/// Where people go on trips abroad.
pub const HOLIDAY_CITIES: [u8; 12] = [24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 42, 43];
/// Where the exits of the VPN services stand.
pub const EXIT_CITIES: [u8; 6] = [24, 27, 34, 35, 36, 37];
/// Where stolen accounts are used from.
pub const INTRUDER_CITIES: [u8; 11] = [34, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45];

pub fn city_at(index: u8) -> &'static City {
    CITIES.get(usize::from(index)).unwrap_or(&CITIES[0])
}

/// The kind of network that an address belongs to, as location databases say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Broadband,
    Mobile,
    Business,
    Hosting,
    Vpn,
}

impl Network {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Broadband => "broadband",
            Self::Mobile => "mobile",
            Self::Business => "business",
            Self::Hosting => "hosting",
            Self::Vpn => "vpn",
        }
    }

    /// The number of the network that announces an address of this kind in this city.
    pub fn asn(self, city: u8) -> u32 {
        let abroad = city >= CITIES_AT_HOME;
        match self {
            Self::Hosting => 14_061,
            Self::Vpn => 9_009,
            Self::Broadband if !abroad => 4_134,
            Self::Mobile if !abroad => 9_808,
            Self::Business if !abroad => 4_837,
            Self::Broadband | Self::Mobile | Self::Business => 20_000 + u32::from(city) * 7 + self as u32,
        }
    }
}

/// A private line at home: one address for one household.
pub fn broadband_address(city: u8, household: u32) -> u32 {
    (36 << 24) | ((u32::from(city) + 1) << 18) | (household & 0x3_FFFF)
}

/// A carrier's shared address: 48 of them serve every phone of a region.
pub fn carrier_address(city: u8, lot: u32) -> u32 {
    (117 << 24) | (136 << 16) | ((u32::from(city) / 2) << 8) | (lot % 48)
}

/// The one address behind which an office sits.
pub fn office_address(region: u8, office: u32) -> u32 {
    (58 << 24) | (u32::from(region) << 16) | (office & 0xFFFF)
}

/// Some address in a city, of a network of this kind.
pub fn foreign_address(city: u8, network: Network, lot: u32) -> u32 {
    let lot_bits = if matches!(network, Network::Vpn | Network::Hosting) { 0x3F } else { 0xFFFF };
    (91 << 24) | (u32::from(city) << 18) | ((network as u32 & 3) << 16) | (lot & lot_bits)
}

/// The distance between two cities in kilometres.
pub fn distance_km(from: u8, to: u8) -> f64 {
    let (a, b) = (city_at(from), city_at(to));
    let (lat_a, lat_b) = (a.latitude.to_radians(), b.latitude.to_radians());
    let half_lat = (lat_b - lat_a) / 2.0;
    let half_lon = (b.longitude - a.longitude).to_radians() / 2.0;
    let chord = half_lat.sin().powi(2) + lat_a.cos() * lat_b.cos() * half_lon.sin().powi(2);
    2.0 * 6_371.0 * chord.sqrt().min(1.0).asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_region_has_its_two_cities_where_the_tables_say() {
        for (index, region) in REGIONS.iter().enumerate() {
            for city in [2 * index, 2 * index + 1] {
                assert_eq!(city_at(city as u8).region, region.name, "city {city}");
            }
        }
        assert!((REGIONS.iter().map(|region| region.share).sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn abroad_is_abroad_and_home_is_home() {
        for index in HOLIDAY_CITIES.iter().chain(&EXIT_CITIES).chain(&INTRUDER_CITIES) {
            assert_ne!(city_at(*index).country, "CN");
        }
        assert!((0..CITIES_AT_HOME).all(|index| city_at(index).country == "CN"));
    }

    #[test]
    fn distances_are_those_of_the_map() {
        for (from, to, expected) in [(16, 18, 1_068.0), (0, 24, 2_901.0), (18, 32, 9_200.0), (5, 5, 0.0)] {
            let found = distance_km(from, to);
            assert!((found - expected).abs() < 25.0, "{from} to {to}: {found} km, expected {expected}");
        }
    }
}
