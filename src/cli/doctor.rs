//! `bursar doctor`: is everything as it should be, and if not, what is to be done?

use std::fs::File;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::{Outcome, say};
use crate::config::Settings;
use crate::domain::clock::Clock;
use crate::server::{self, ServerError, certificate_end};
use crate::shared_counts::SharedCounts;
use crate::store::{Diagnosis, Store};
use crate::telemetry;

/// A database that is farther away makes every batch slow.
const FAR: Duration = Duration::from_millis(20);

/// A Redis that is farther away makes every call slow that has rate limits.
const FAR_FROM_CALLS: Duration = Duration::from_millis(5);

/// Clocks that differ by more confuse people who compare logs, and tokens of others.
const CLOCKS_MICROS: i64 = 1_000_000;

/// How long before its end a certificate should be replaced.
const CERTIFICATE_SECONDS: i64 = 14 * 86_400;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// As it should be.
    Good(String),
    /// It works, and something should be done.
    Doubtful(String),
    /// It does not work.
    Bad(String),
}

use Finding::{Bad, Doubtful, Good};

/// Looks at everything, and says what to do.
pub(super) async fn run(settings: &Settings) -> Outcome {
    let mut findings = vec![("settings", of_settings(settings))];
    findings.extend(of_certificate(settings).map(|finding| ("certificate", finding)));
    findings.extend(of_database(settings).await.into_iter().map(|finding| ("database", finding)));
    findings.extend(of_redis(settings).await.map(|finding| ("redis", finding)));
    let is_bad = findings.iter().any(|(_, finding)| matches!(finding, Bad(_)));
    for (about, finding) in findings {
        let (sign, told) = match &finding {
            Good(told) => ("ok  ", told),
            Doubtful(told) => ("warn", told),
            Bad(told) => ("FAIL", told),
        };
        say(format_args!("{sign}  {about}: {told}"));
    }
    Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn of_settings(settings: &Settings) -> Finding {
    if let Err(error) = telemetry::filter(settings) {
        return Bad(error.to_string());
    }
    match server::check(settings) {
        // Of the certificate more is told than that it is wrong.
        Ok(()) | Err(ServerError::Tls(_)) => {}
        Err(error) => return Bad(error.to_string()),
    }
    if !settings.listen.ip().is_loopback() && settings.tls.is_none() {
        let listen = settings.listen;
        return Doubtful(format!(
            "others can reach {listen}, and keys cross the network in the clear: set tls, or see to it in front of it"
        ));
    }
    Good("they fit together".to_owned())
}

fn of_certificate(settings: &Settings) -> Option<Finding> {
    let rules = settings.tls_rules().ok()??;
    let seconds = match certificate_end(&rules) {
        Ok(ends_at) => (ends_at.micros_since(Clock::system().now())) / 1_000_000,
        Err(error) => return Some(Bad(format!("{error}; see the setting tls"))),
    };
    let days = seconds / 86_400;
    Some(if seconds <= 0 {
        Bad("it has ended: put a new one in its place, which is used within a second".to_owned())
    } else if seconds < CERTIFICATE_SECONDS {
        Doubtful(format!("it ends in {days} days: put a new one in its place, which is used within a second"))
    } else {
        Good(format!("it is good for {days} days"))
    })
}

async fn of_database(settings: &Settings) -> Vec<Finding> {
    let options = settings.connect_options();
    let file = options.url.strip_prefix("sqlite:").map(|rest| rest.trim_start_matches("//"));
    let file = file.map(|rest| rest.split('?').next().unwrap_or(rest));
    if let Some(file) = file.map(Path::new).filter(|file| !file.exists()) {
        return vec![of_missing(file, options.url.contains("mode=rwc"))];
    }
    let store = match Store::connect(&options).await {
        Ok(store) => store,
        Err(error) => return vec![Bad(format!("{error}; see the setting database_url"))],
    };
    let found = match store.diagnose(|| Clock::system().now()).await {
        Ok(diagnosis) => judge(&diagnosis, settings.database_max_connections),
        Err(error) => vec![Bad(error.to_string())],
    };
    // What was found matters, not how it ends.
    let _ = store.close().await;
    found
}

/// A file of SQLite that is not there.
fn of_missing(file: &Path, is_made: bool) -> Finding {
    let shown = file.display();
    if !is_made {
        return Bad(format!("{shown} is not there, and no start makes it: end database_url in \"?mode=rwc\""));
    }
    let directory = file.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let probe = directory.join(format!(".bursar-doctor-{}", std::process::id()));
    match File::create_new(&probe).and_then(|_| std::fs::remove_file(&probe)) {
        Ok(()) => Doubtful(format!("{shown} is not there yet; the first start makes it")),
        Err(error) => Bad(format!("{shown} can't be made: {error}; see the setting database_url")),
    }
}

async fn of_redis(settings: &Settings) -> Option<Finding> {
    let rules = settings.shared_count_rules().ok()??;
    // What is there is told for an instance: the background is not needed.
    let probed = match SharedCounts::new(&rules) {
        Ok((counts, _)) => counts.probe().await,
        Err(error) => Err(error),
    };
    Some(match probed {
        Ok(took) if took > FAR_FROM_CALLS => {
            Doubtful(format!("it is {took:.1?} away, and calls with rate limits wait for that; put it nearer"))
        }
        Ok(took) => Good(format!("{took:.1?} away")),
        Err(error) => Bad(format!("{error}; see the setting redis: meanwhile each instance allows its share")),
    })
}

fn judge(found: &Diagnosis, wanted_connections: u32) -> Vec<Finding> {
    let Diagnosis { version, steps_behind, round_trip, ahead_micros, forgetful, max_connections } = found;
    let mut findings = Vec::new();
    if *steps_behind > 0 {
        findings.push(Doubtful(format!(
            "its tables are {steps_behind} steps behind: the next start brings them up to date, or `bursar migrate`"
        )));
    }
    for (setting, value) in forgetful {
        findings.push(Bad(format!("{setting} is {value}: a power cut loses what was acknowledged; turn it on")));
    }
    if *round_trip > FAR {
        let told = "every batch waits for that; put the server nearer to it";
        findings.push(Doubtful(format!("it is {round_trip:.1?} away: {told}")));
    }
    if let Some(micros) = ahead_micros.filter(|micros| micros.abs() > CLOCKS_MICROS) {
        let seconds = micros / 1_000_000;
        findings.push(Doubtful(format!("its clock is {seconds} s ahead of this machine's: run NTP on both")));
    }
    if let Some(most) = max_connections.filter(|most| *most < wanted_connections.saturating_add(3)) {
        findings.push(Doubtful(format!(
            "it takes {most} connections, and an instance up to {wanted_connections} and 3 more: \
             set database_max_connections lower, or max_connections higher"
        )));
    }
    if findings.is_empty() {
        findings.push(Good(format!("{version}, {round_trip:.1?} away")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_should_be_done_is_said() {
        let good = Diagnosis {
            version: "PostgreSQL 15".to_owned(),
            steps_behind: 0,
            round_trip: Duration::from_millis(1),
            ahead_micros: Some(900_000),
            forgetful: Vec::new(),
            max_connections: Some(100),
        };
        assert_eq!(judge(&good, 20), [Good("PostgreSQL 15, 1.0ms away".to_owned())]);
        let off = vec![("fsync".to_owned(), "off".to_owned())];
        for (found, told, is_bad) in [
            (Diagnosis { steps_behind: 2, ..good.clone() }, "2 steps behind", false),
            (Diagnosis { forgetful: off, ..good.clone() }, "fsync is off", true),
            (Diagnosis { round_trip: Duration::from_millis(30), ..good.clone() }, "30.0ms away", false),
            (Diagnosis { ahead_micros: Some(-2_000_000), ..good.clone() }, "-2 s ahead", false),
            (Diagnosis { max_connections: Some(22), ..good.clone() }, "takes 22 connections", false),
        ] {
            let findings = judge(&found, 20);
            let [finding] = findings.as_slice() else { panic!("{findings:?}") };
            let (Doubtful(said) | Bad(said)) = finding else { panic!("{finding:?}") };
            assert!(said.contains(told) && matches!(finding, Bad(_)) == is_bad, "{finding:?}");
        }
    }
}
