//! How tests draw their cases: the same ones in every run, from a seed that a failing test prints.

use proptest::test_runner::{Config, RngSeed};

/// Where no other seed is asked for with `PROPTEST_RNG_SEED`.
const SEED: u64 = 20_261_001;

/// A configuration that draws the same cases in every run. The environment can ask for other ones, and for more of them
/// (`PROPTEST_CASES`). Nothing is written down beside the tests: the seed alone brings a failure back.
pub fn seeded(config: Config) -> Config {
    let seed = match config.rng_seed {
        RngSeed::Random => SEED,
        RngSeed::Fixed(seed) => seed,
    };
    // The harness shows what a test says only when it fails.
    println!("PROPTEST_RNG_SEED={seed} brings these cases back");
    Config { rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..config }
}

#[test]
fn two_runs_draw_the_same_cases() {
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;
    use std::cell::RefCell;

    let drawn = || {
        let cases = RefCell::new(Vec::new());
        let mut runner = TestRunner::new(seeded(Config { cases: 8, ..Config::default() }));
        let result = runner.run(&any::<u64>(), |case| {
            cases.borrow_mut().push(case);
            Ok(())
        });
        assert!(result.is_ok());
        cases.into_inner()
    };
    assert_eq!(drawn(), drawn());
    assert_eq!(seeded(Config::default()).cases, Config::default().cases);
}
