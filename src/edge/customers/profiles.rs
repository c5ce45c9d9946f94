//! What rules may ask of customers, kept once for all who have it in common: a million customers have a few dozen of them.

use std::sync::Arc;

use hashbrown::HashSet;

use crate::delivery::customers::Profile;

/// So few are not worth looking through for those that nobody has any more.
const FEW: usize = 1_024;

#[derive(Default)]
pub(super) struct Profiles {
    known: HashSet<Arc<Profile>>,
    /// At so many they are looked through.
    full_at: usize,
}

impl Profiles {
    pub(super) fn shared(&mut self, profile: Profile) -> Arc<Profile> {
        if let Some(known) = self.known.get(&profile) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.full_at {
            self.known.retain(|known| Arc::strong_count(known) > 1);
            self.full_at = (2 * self.known.len()).max(FEW);
        }
        let profile = Arc::new(profile);
        self.known.insert(Arc::clone(&profile));
        profile
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(locale: String) -> Profile {
        Profile { locale: Some(locale), ..Profile::default() }
    }

    #[test]
    fn customers_with_the_same_profile_share_it_and_what_nobody_has_is_forgotten() {
        let mut profiles = Profiles::default();
        let kept: Vec<Arc<Profile>> =
            (0..10_000).map(|n| profiles.shared(profile(format!("l{}", n % 7)))).collect();
        assert_eq!(profiles.known.len(), 7);
        assert!(Arc::ptr_eq(&kept[0], &kept[7]));
        for n in 0..10_000 {
            let _gone = profiles.shared(profile(format!("gone-{n}")));
        }
        assert!(profiles.known.len() <= FEW, "{}", profiles.known.len());
        assert!(Arc::ptr_eq(&kept[3], &profiles.shared(profile("l3".to_owned()))));
    }
}
