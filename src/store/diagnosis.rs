//! Diagnosis: what a database is like, for whoever sets one up.

use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::connect::Store;
use super::error::StoreError;
use crate::domain::clock::Timestamp;

/// How many times the way there and back is measured.
const ROUND_TRIPS: u32 = 5;

/// What a database is like.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// What it is, such as `PostgreSQL 15.4`.
    pub version: String,
    /// How many steps its tables are behind this binary.
    pub steps_behind: usize,
    /// How long the way there and back takes.
    pub round_trip: Duration,
    /// By how many microseconds its clock is ahead; `None` if it has none of its own.
    pub ahead_micros: Option<i64>,
    /// What would lose acknowledged usage in a power cut, if anything: a setting and
    /// its value.
    pub forgetful: Vec<(String, String)>,
    /// The most connections that it takes; `None` if there is no limit.
    pub max_connections: Option<u32>,
}

impl Store {
    /// Finds out what the database is like; `now` is the instant at this moment.
    ///
    /// # Errors
    /// [`StoreError`] if it does not answer.
    pub async fn diagnose(&self, now: impl Fn() -> Timestamp) -> Result<Diagnosis, StoreError> {
        let steps_behind = self.steps_behind().await?;
        let began = Instant::now();
        for _ in 0..ROUND_TRIPS {
            self.word("SELECT '1'").await?;
        }
        let round_trip = began.elapsed() / ROUND_TRIPS;
        if self.writer().get_database_backend() != DbBackend::Postgres {
            let version = format!("SQLite {}", self.word("SELECT sqlite_version()").await?);
            let forgetful = Vec::new();
            return Ok(Diagnosis {
                version,
                steps_behind,
                round_trip,
                ahead_micros: None,
                forgetful,
                max_connections: None,
            });
        }
        let mut forgetful = Vec::new();
        for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
            let value = self.word(&format!("SELECT current_setting('{setting}')")).await?;
            if value == "off" {
                forgetful.push((setting.to_owned(), value));
            }
        }
        let there = Self::shared_micros(self.writer()).await?;
        Ok(Diagnosis {
            version: format!("PostgreSQL {}", self.word("SELECT current_setting('server_version')").await?),
            steps_behind,
            round_trip,
            ahead_micros: Some(there.saturating_sub(now().micros())),
            forgetful,
            max_connections: self.word("SELECT current_setting('max_connections')").await?.parse().ok(),
        })
    }

    async fn word(&self, sql: &str) -> Result<String, StoreError> {
        let statement = Statement::from_string(self.writer().get_database_backend(), sql);
        let row = self.writer().query_one_raw(statement).await?;
        row.ok_or_else(|| StoreError::Broken("a question without an answer".to_owned()))?
            .try_get_by_index(0)
            .map_err(StoreError::from)
    }
}
