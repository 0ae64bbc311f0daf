//! The settings of mail.

use super::{ConfigError, Settings};
use crate::mail::Mailer;

impl Settings {
    /// The mailer, if there is a mail server.
    ///
    /// # Errors
    /// [`ConfigError`] that names a setting which is wrong, or missing beside
    /// the others.
    pub fn mailer(&self) -> Result<Option<Mailer>, ConfigError> {
        let server = self.smtp_url.as_ref().map(|url| url.0.as_str());
        let all = [
            ("smtp_url", server),
            ("mail_from", self.mail_from.as_deref()),
            ("invitation_url", self.invitation_url.as_deref()),
        ];
        match all.map(|(_, value)| value) {
            [None, None, None] => Ok(None),
            [Some(server), Some(from), Some(page)] => {
                let mailer = Mailer::new(server, from, page);
                mailer.map(Some).map_err(|error| ConfigError(format!("wrong setting {error}")))
            }
            _ => {
                let missing: Vec<&str> =
                    all.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| *name).collect();
                let text = "smtp_url, mail_from and invitation_url go together";
                Err(ConfigError(format!("wrong setting: {text}; missing: {}", missing.join(", "))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load_from;

    #[test]
    fn mail_is_set_up_wholly_or_not_at_all() {
        let load = |given: &[(&str, &str)]| {
            let flags: Vec<_> = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            load_from(&flags, None, &[]).expect("settings").mailer().map(|mailer| mailer.is_some())
        };
        let page = ("invitation_url", "https://bursar.example.com/join?token=");
        assert!(!load(&[]).expect("no mail"));
        assert!(load(&[("smtp_url", "smtp://host"), ("mail_from", "a@b.c"), page]).expect("mail"));
        let error = load(&[("smtp_url", "smtp://host"), page]).expect_err("no sender").0;
        assert!(error.ends_with("missing: mail_from"), "{error}");
        let error = load(&[("smtp_url", "host"), ("mail_from", "a@b.c"), page]).expect_err("no server").0;
        assert!(error.starts_with("wrong setting smtp_url"), "{error}");
    }
}
