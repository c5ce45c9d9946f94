//! Places on the earth and how far apart they are, as well as anybody can know.

/// The mean radius of the earth (IUGG). A sphere is within 0.6 % of the ellipsoid, far less than any location database.
const EARTH_RADIUS_KM: f64 = 6_371.008_8;
/// A degree along a meridian; along a parallel it is shorter.
const KM_PER_DEGREE: f64 = EARTH_RADIUS_KM * std::f64::consts::PI / 180.0;
/// Nothing is further away.
pub const FARTHEST_KM: f64 = EARTH_RADIUS_KM * std::f64::consts::PI;

const STEPS: f64 = ((1 << 24) - 1) as f64;

/// A place to within two metres, and how wrong it may be, in eight bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot(pub u64);

impl Spot {
    /// Coordinates beyond the poles or the date line become the nearest that are on the earth.
    pub fn new(latitude: f64, longitude: f64, accuracy_km: f64) -> Self {
        let latitude = ((latitude + 90.0) / 180.0 * STEPS).round().clamp(0.0, STEPS) as u64;
        let longitude = ((longitude + 180.0) / 360.0 * STEPS).round().clamp(0.0, STEPS) as u64;
        // In steps of 100 m, rounded up: a place is never said to be better known than it is.
        let accuracy = (accuracy_km * 10.0).ceil().clamp(0.0, 65_535.0) as u64;
        Self(latitude << 40 | longitude << 16 | accuracy)
    }

    pub fn latitude(self) -> f64 {
        (self.0 >> 40) as f64 / STEPS * 180.0 - 90.0
    }

    pub fn longitude(self) -> f64 {
        (self.0 >> 16 & 0xFF_FFFF) as f64 / STEPS * 360.0 - 180.0
    }

    pub fn accuracy_km(self) -> f64 {
        (self.0 & 0xFFFF) as f64 / 10.0
    }

    /// Whether the coordinates are the same, whatever is said of their accuracy.
    pub const fn is_at(self, other: Self) -> bool {
        self.0 >> 16 == other.0 >> 16
    }

    /// How far apart two places are at least, given how wrong either may be.
    pub fn least_distance_km(self, other: Self) -> f64 {
        (self.distance_km(other) - self.accuracy_km() - other.accuracy_km()).max(0.0)
    }

    /// The distance between the coordinates, along a great circle.
    pub fn distance_km(self, other: Self) -> f64 {
        if self.is_at(other) {
            return 0.0;
        }
        let (south, north) = (self.latitude().to_radians(), other.latitude().to_radians());
        let across = (other.longitude() - self.longitude()).to_radians() / 2.0;
        let up = (north - south) / 2.0;
        let haversine = up.sin().powi(2) + south.cos() * north.cos() * across.sin().powi(2);
        2.0 * EARTH_RADIUS_KM * haversine.sqrt().min(1.0).asin()
    }

    /// A distance that is never exceeded, without trigonometry: along the meridian, then along a parallel as long as the
    /// equator.
    pub fn most_distance_km(self, other: Self) -> f64 {
        let up = (self.latitude() - other.latitude()).abs();
        let across = (self.longitude() - other.longitude()).abs();
        (up + across.min(360.0 - across)) * KM_PER_DEGREE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(latitude: f64, longitude: f64) -> Spot {
        Spot::new(latitude, longitude, 0.0)
    }

    #[test]
    fn distances_agree_with_known_ones() {
        // The first four are geodesics on the ellipsoid (New York to London is the example of the geodesic literature),
        // the others follow from the radius alone.
        for (from, to, known, within) in [
            (spot(40.6, -73.8), spot(51.6, -0.5), 5_551.759, 0.006),
            (spot(50.066_389, -5.714_722), spot(58.643_889, -3.07), 969.954, 0.006),
            (spot(0.0, 0.0), spot(0.0, 1.0), 111.319, 0.006),
            (spot(0.0, 0.0), spot(1.0, 0.0), 110.574, 0.006),
            (spot(90.0, 0.0), spot(0.0, 77.0), FARTHEST_KM / 2.0, 1e-6),
            (spot(30.0, 10.0), spot(-30.0, -170.0), FARTHEST_KM, 1e-6),
            (spot(0.0, 179.5), spot(0.0, -179.5), KM_PER_DEGREE, 1e-4),
            (spot(45.0, 3.0), spot(46.0, 3.0), KM_PER_DEGREE, 1e-4),
        ] {
            let distance = from.distance_km(to);
            assert!((distance / known - 1.0).abs() < within, "{distance} km instead of {known}");
            assert_eq!(distance, to.distance_km(from));
            assert!(from.most_distance_km(to) >= distance - 1e-6);
        }
    }

    #[test]
    fn a_place_survives_being_packed() {
        for (latitude, longitude, accuracy) in
            [(39.904_2, 116.407_4, 5.0), (-89.999, -179.999, 0.1), (0.0, 0.0, 0.0), (90.0, 180.0, 6_000.0)]
        {
            let spot = Spot::new(latitude, longitude, accuracy);
            assert!((spot.latitude() - latitude).abs() < 1.1e-5, "{}", spot.latitude());
            assert!((spot.longitude() - longitude).abs() < 2.2e-5, "{}", spot.longitude());
            assert_eq!(spot.accuracy_km(), accuracy);
        }
        assert_eq!(Spot::new(1.0, 2.0, 0.01).accuracy_km(), 0.1, "never better known than it is");
        assert_eq!(Spot::new(f64::NAN, f64::INFINITY, f64::NAN).accuracy_km(), 0.0);
        assert_eq!(Spot::new(1_000.0, 0.0, 1e9), Spot::new(90.0, 0.0, 6_553.5));
    }

    #[test]
    fn what_both_may_be_off_is_taken_from_the_distance() {
        let (one, other) = (Spot::new(0.0, 0.0, 30.0), Spot::new(1.0, 0.0, 50.0));
        assert!((one.least_distance_km(other) - (KM_PER_DEGREE - 80.0)).abs() < 0.01);
        assert_eq!(one.least_distance_km(Spot::new(0.5, 0.0, 50.0)), 0.0);
        assert_eq!(one.least_distance_km(one), 0.0);
    }

    #[test]
    fn the_quick_bound_is_never_exceeded() {
        let mut checked = 0;
        for step in 0..5_000_u32 {
            let turn = f64::from(step) * 0.618_033_988_75;
            let one = spot(turn.sin() * 90.0, (turn * 7.3).sin() * 180.0);
            let other = spot((turn * 3.1).cos() * 90.0, (turn * 1.7).sin() * 180.0);
            assert!(one.distance_km(other) <= one.most_distance_km(other) + 1e-6);
            checked += 1;
        }
        assert_eq!(checked, 5_000);
    }
}
