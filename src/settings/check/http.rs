//! The section `[http]`: where the daemon shows itself, and who may have the rules read anew.

use std::net::SocketAddr;

use super::super::raw::RawHttp;
use super::super::{ExposeSecret as _, HttpSettings};
use super::Check;

impl Check<'_> {
    pub(super) fn http(&mut self, raw: &RawHttp) -> Option<HttpSettings> {
        let (file, listen) = (raw.reload_token_file.as_deref(), raw.listen.as_str());
        let token =
            self.secret("http.reload_token", raw.reload_token.as_deref(), "http.reload_token_file", file);
        let reload_token = token.ok()?;
        if reload_token.as_ref().is_some_and(|token| token.expose_secret().len() < 16) {
            let key = if file.is_some() { "http.reload_token_file" } else { "http.reload_token" };
            self.wrong(key, "is too short; expected at least 16 characters, as of `openssl rand -hex 16`");
            return None;
        }
        if listen == "off" {
            return Some(HttpSettings { listen: None, reload_token });
        }
        match listen.parse::<SocketAddr>() {
            Ok(address) => Some(HttpSettings { listen: Some(address), reload_token }),
            Err(_) => {
                self.wrong(
                    "http.listen",
                    format!(
                        "is {listen:?}; expected \"ADDRESS:PORT\" such as \"127.0.0.1:9290\", or \"off\""
                    ),
                );
                None
            }
        }
    }
}
