//! What the build told the program about itself.

pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The revision of the source; `debug` where the build was not for release.
pub const REVISION: &str = env!("FOREWARN_REVISION");
pub const RUSTC: &str = env!("FOREWARN_RUSTC");
