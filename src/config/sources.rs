//! Sources of settings: defaults, file, environment, flags.

use std::path::PathBuf;

use figment::providers::{Data, Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::{ConfigError, Settings};

/// What every variable begins with.
const PREFIX: &str = "BURSAR_";

/// The variable that names the file.
const FILE_VARIABLE: &str = "BURSAR_CONFIG";

/// The file that is read if it is there and no other is named.
const DEFAULT_FILE: &str = "bursar.toml";

/// The documented example is the one place that has the defaults.
pub const EXAMPLE: &str = include_str!("../../bursar.example.toml");

/// A setting as the example documents it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documented {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub about: String,
    /// Whether it is a table or list of values.
    pub is_table: bool,
}

/// Every setting, from the example: a paragraph of comment, then the setting,
/// which is commented out if it has no default.
pub fn documented() -> Vec<Documented> {
    let mut settings = Vec::new();
    for paragraph in EXAMPLE.split("\n\n") {
        let lines: Vec<&str> = paragraph.lines().collect();
        let Some((last, comment)) = lines.split_last() else { continue };
        let Some((name, value)) = last.trim_start_matches("# ").split_once(" = ") else { continue };
        let about = comment.iter().map(|line| line.trim_start_matches("# ")).collect::<Vec<_>>().join(" ");
        settings.push(Documented { name, about, is_table: value.starts_with(['{', '[']) });
    }
    settings
}

/// A value from a flag or a variable.
struct Given {
    source: String,
    name: &'static str,
    value: Value,
}

impl Provider for Given {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(Dict::from([(self.name.to_owned(), self.value.clone())])))
    }
}

impl Given {
    fn parse(setting: &Documented, source: String, text: &str) -> Result<Self, ConfigError> {
        let value = if setting.is_table {
            let line = format!("value = {text}");
            let parsed = Figment::from(Toml::string(&line)).extract_inner::<Value>("value");
            parsed.map_err(|error| ConfigError(format!("{source}: {}", without_text(&error.to_string()))))?
        } else {
            Value::from(text)
        };
        Ok(Self { source, name: setting.name, value })
    }
}

/// What a parser says, without the lines in which it shows the text: there may be
/// secrets in it.
fn without_text(told: &str) -> String {
    let lines: Vec<&str> = told.lines().filter(|line| !line.contains('|')).map(str::trim).collect();
    lines.join("; ")
}

/// What commands that ask a server read; no settings of one.
const CLIENT_VARIABLES: [&str; 4] = ["BURSAR_ADDRESS", "BURSAR_KEY", "BURSAR_PROFILE", "BURSAR_IMPORT_FROM"];

/// Whether Kubernetes set a variable, as it does in every pod for a service called
/// `bursar`, or `bursar-…`: `BURSAR_SERVICE_HOST`, `BURSAR_PORT=tcp://…` and so on.
fn is_service_link(name: &str, value: &str) -> bool {
    let of_port = name.contains("_PORT_") && ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| name.contains(protocol));
    let address = name.ends_with("_PORT") && value.contains("://");
    name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT") || of_port || address
}

/// A variable that a command reads which asks a server.
#[expect(clippy::disallowed_methods, reason = "the one file that reads the environment")]
pub fn client_variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether a variable is there to be a setting, or is one that is misspelt.
fn is_ours(name: &str, value: &str) -> bool {
    name.starts_with(PREFIX) && !CLIENT_VARIABLES.contains(&name) && !is_service_link(name, value)
}

/// Reads the settings. `flags` are pairs of name and value; `file` is the file
/// that a flag names.
///
/// # Errors
/// [`ConfigError`] that names the setting and where it was given.
pub fn load(flags: &[(String, String)], file: Option<PathBuf>) -> Result<Settings, ConfigError> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    let all = std::env::vars();
    let ours = all.filter(|(name, value)| is_ours(name, value));
    let mut variables: Vec<(String, String)> = ours.collect();
    let named = variables.iter().position(|(name, _)| name == FILE_VARIABLE).map(|index| variables.remove(index).1);
    let default = PathBuf::from(DEFAULT_FILE);
    let file = file.or(named.map(PathBuf::from)).or_else(|| default.is_file().then_some(default));
    load_from(flags, file, &variables)
}

/// Reads the settings from what is given here, and from nowhere else.
///
/// # Errors
/// [`ConfigError`] that names the setting and where it was given.
pub fn load_from(
    flags: &[(String, String)],
    file: Option<PathBuf>,
    variables: &[(String, String)],
) -> Result<Settings, ConfigError> {
    let known = documented();
    let mut figment = Figment::from(Toml::string(EXAMPLE)).merge(file_provider(file)?);
    for (variable, text) in variables {
        let name = variable.trim_start_matches(PREFIX).to_lowercase();
        let setting = known.iter().find(|setting| setting.name == name);
        let setting = setting.ok_or_else(|| unknown(&format!("the variable {variable}"), &name, &known))?;
        figment = figment.merge(Given::parse(setting, format!("the variable {variable}"), text)?);
    }
    for (name, text) in flags {
        let setting = known.iter().find(|setting| setting.name == *name);
        let setting =
            setting.ok_or_else(|| unknown(&format!("the flag --{}", name.replace('_', "-")), name, &known))?;
        figment = figment.merge(Given::parse(setting, format!("the flag --{}", name.replace('_', "-")), text)?);
    }
    figment.extract().map_err(|error| {
        let told = error.into_iter().map(|error| tell(&error)).collect::<Vec<_>>();
        ConfigError(told.join("\n"))
    })
}

/// An error with the setting and where it was given.
fn tell(error: &figment::Error) -> String {
    let path = error.path.join(".");
    let setting = if path.is_empty() { String::new() } else { format!(" {path}") };
    let source = error.metadata.as_ref().map(|metadata| match &metadata.source {
        Some(source) => format!(", in {source}"),
        None => format!(", from {}", metadata.name),
    });
    // What the setting means says what it may be.
    let about = documented().into_iter().find(|setting| error.path.first().is_some_and(|name| name == setting.name));
    let about = about.map(|setting| format!(" ({})", setting.about)).unwrap_or_default();
    let kind = without_text(&error.kind.to_string());
    format!("wrong setting{setting}: {kind}{}{about}", source.unwrap_or_default())
}

fn file_provider(file: Option<PathBuf>) -> Result<Data<Toml>, ConfigError> {
    match file {
        Some(path) if path.is_file() => Ok(Toml::file_exact(path)),
        Some(path) => Err(ConfigError(format!("the file with settings, {}, can't be found", path.display()))),
        None => Ok(Toml::string("")),
    }
}

fn unknown(source: &str, name: &str, known: &[Documented]) -> ConfigError {
    let near = known.iter().find(|setting| strsim(setting.name, name));
    let hint = near.map(|setting| format!("; did you mean {}?", setting.name)).unwrap_or_default();
    ConfigError(format!("{source} is no setting of Bursar{hint}"))
}

/// Whether two names differ by a slip: the same letters but for two.
fn strsim(left: &str, right: &str) -> bool {
    let missing = |from: &str, of: &str| from.chars().filter(|c| !of.contains(*c)).count();
    left.len().abs_diff(right.len()) <= 2
        && missing(left, right) + missing(right, left) <= 2
        && left.chars().next() == right.chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_example_is_the_default_and_documents_everything() {
        let settings = load_from(&[], None, &[]).expect("the example is valid");
        assert_eq!(settings.listen.to_string(), "127.0.0.1:50051");
        assert_eq!(settings.master_key.map(|key| key.0), None);
        let documented = documented();
        assert!(documented.iter().all(|setting| setting.about.len() > 10), "{documented:?}");
        let names: Vec<&str> = documented.iter().map(|setting| setting.name).collect();
        // serde names every field of the struct when it meets an unknown one.
        let error = Figment::from(Toml::string(EXAMPLE))
            .merge(Toml::string("nonsense = 1"))
            .extract::<Settings>()
            .expect_err("an unknown setting")
            .kind
            .to_string();
        let fields: Vec<&str> = error.split('`').skip(4).step_by(2).filter(|name| !name.is_empty()).collect();
        assert_eq!(names, fields, "the example has every setting, in the order of the struct");
    }

    #[test]
    fn a_flag_wins_over_the_environment() {
        let variables = pairs(&[("BURSAR_LISTEN", "127.0.0.1:1"), ("BURSAR_LOG_LEVEL", "debug")]);
        let settings = load_from(&pairs(&[("listen", "127.0.0.1:2")]), None, &variables).expect("valid");
        assert_eq!((settings.listen.port(), settings.log_level.as_str()), (2, "debug"));
    }

    #[test]
    fn values_mean_the_same_however_they_are_written() {
        let variables = pairs(&[
            ("BURSAR_MAX_EVENT_COST", "12.5"),
            ("BURSAR_DENY_UNKNOWN_MODELS", "true"),
            ("BURSAR_DATABASE_MAX_CONNECTIONS", "7"),
            ("BURSAR_BUDGET_RESET_TIME", "12:30"),
            ("BURSAR_DEFAULT_TEAM_PARAMS", r#"{ max_budget = "3", rpm_limit = 5, member_permissions = ["KEY_LIST"] }"#),
        ]);
        let settings = load_from(&[], None, &variables).expect("valid");
        assert_eq!(settings.max_event_cost.to_string(), "12.5");
        assert!(settings.deny_unknown_models);
        assert_eq!(settings.database_max_connections, 7);
        assert_eq!(settings.budget_reset_time.to_string(), "12:30:00");
        let team = &settings.default_team_params;
        assert_eq!((team.max_budget.map(|usd| usd.to_string()), team.rpm_limit), (Some("3".to_owned()), Some(5)));
    }

    #[test]
    fn what_kubernetes_tells_of_a_service_is_no_setting() {
        for (name, value, ours) in [
            ("BURSAR_SERVICE_HOST", "10.0.0.1", false),
            ("BURSAR_SERVICE_PORT", "50051", false),
            ("BURSAR_SERVICE_PORT_GRPC", "50051", false),
            ("BURSAR_PORT", "tcp://10.0.0.1:50051", false),
            ("BURSAR_PORT_50051_TCP", "tcp://10.0.0.1:50051", false),
            ("BURSAR_PORT_50051_TCP_PROTO", "tcp", false),
            ("BURSAR_PORT_50051_UDP_ADDR", "10.0.0.1", false),
            ("BURSAR_METRICS_PORT_9090_SCTP_PORT", "9090", false),
            ("BURSAR_METRICS_PORT", "tcp://10.0.0.1:9090", false),
            ("BURSAR_KEY", "sk-1", false),
            ("PATH", "/bin", false),
            ("BURSAR_LISTEN", "127.0.0.1:1", true),
            ("BURSAR_DATABASE_URL", "postgres://u@h/d", true),
            ("BURSAR_SERVICE_ACCOUNT_SETTINGS", "{}", true),
            // Somebody's slip, not a service.
            ("BURSAR_PORT", "50051", true),
            ("BURSAR_PORT_TYPO", "50051", true),
        ] {
            assert_eq!(is_ours(name, value), ours, "{name}={value}");
        }
    }

    #[test]
    fn a_wrong_setting_is_named() {
        for (variable, value, named) in [
            ("BURSAR_LISTEN", "nowhere", "listen"),
            ("BURSAR_TIME_ZONE", "Mars/Olympus", "time_zone"),
            ("BURSAR_RESERVATION_TTL", "soon", "reservation_ttl"),
            ("BURSAR_MAX_EVENT_COST", "1e3", "max_event_cost"),
            ("BURSAR_DENY_UNKNOWN_MODELS", "perhaps", "deny_unknown_models"),
            ("BURSAR_DATABSE_URL", "x", "did you mean database_url"),
            ("BURSAR_DEFAULT_TEAM_PARAMS", "{ max_bugdet = \"1\" }", "max_bugdet"),
            ("BURSAR_DEFAULT_TEAM_PARAMS", "{ max_budget = 1.5 }", "max_budget"),
        ] {
            let error = load_from(&[], None, &pairs(&[(variable, value)])).expect_err("refused").to_string();
            let by_path = variable.trim_start_matches("BURSAR_").to_lowercase();
            assert!(error.contains(named), "{variable}: {error}");
            assert!(error.contains(variable) || error.contains(&by_path), "{variable}: {error}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let variables =
            pairs(&[("BURSAR_MASTER_KEY", "sk-very-secret"), ("BURSAR_DATABASE_URL", "postgres://u:pw@h/d")]);
        let broken = pairs(&[("BURSAR_WEBHOOKS", "[{ secret = 'whsec_very-secret' url }]")]);
        let told = load_from(&[], None, &broken).expect_err("no TOML").0;
        assert!(told.contains("BURSAR_WEBHOOKS") && !told.contains("very-secret"), "{told}");
        let file = std::env::temp_dir().join(format!("bursar_{}.toml", crate::domain::ids::new_uuid()));
        std::fs::write(&file, "smtp_url = \"smtps://u:very-secret@h\nlisten = 1").expect("a file");
        let told = load_from(&[], Some(file.clone()), &[]).expect_err("no TOML").0;
        let _ = std::fs::remove_file(&file);
        assert!(told.contains("wrong setting") && !told.contains("very-secret"), "{told}");
        let printed = format!("{:?}", load_from(&[], None, &variables).expect("valid"));
        assert!(!printed.contains("very-secret") && !printed.contains("pw@"), "{printed}");
    }
}
