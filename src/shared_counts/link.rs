//! The connection to Redis, and the scripts that count there.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Pipeline, RedisError, Script, ScriptInvocation};

use super::told::{name_of, used};
use super::{Counter, Counts, InFlight, Take, Taken, Told};
use crate::domain::clock::Timestamp;
use crate::domain::ids::new_uuid;
use crate::domain::shared_counts::SharedCountRules;

/// How long a call waits that wants to be made.
const FOR_A_CALL: Duration = Duration::from_millis(250);

/// How long a connection may take, and a message in the background.
const PATIENCE: Duration = Duration::from_secs(1);

/// Redis does not answer, and why.
#[derive(Debug)]
pub(super) struct Away(pub(super) String);

impl From<RedisError> for Away {
    fn from(error: RedisError) -> Self {
        Self(error.to_string())
    }
}

/// A connection that comes back by itself.
pub(super) struct Link {
    connection: ConnectionManager,
    prefix: String,
    /// This instance among others.
    instance: String,
    take: Script,
    end: Script,
    extend: Script,
    uses: Script,
    beat: Script,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn new(rules: &SharedCountRules) -> Result<Self, String> {
        let client = Client::open(rules.url.reveal()).map_err(|error| error.to_string())?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_number_of_retries(1);
        let connection = ConnectionManager::new_lazy_with_config(client, config).map_err(|error| error.to_string())?;
        Ok(Self {
            connection,
            prefix: rules.prefix.clone(),
            instance: new_uuid().to_string(),
            take: Script::new(include_str!("take.lua")),
            end: Script::new(include_str!("end.lua")),
            extend: Script::new(include_str!("extend.lua")),
            uses: Script::new(include_str!("use.lua")),
            beat: Script::new(include_str!("beat.lua")),
        })
    }

    pub(super) async fn take(&self, takes: &[Take<'_>], call: Option<InFlight>, now: Timestamp) -> Result<Taken, Away> {
        let lives = call.map_or(0, |call| call.expires_at.micros_since(now) / 1_000);
        let mut script = self.call(&self.take);
        script.arg(now.utc_minute()).arg(call.map(|call| call.id.to_string()).unwrap_or_default()).arg(lives);
        for Take { account, requests, tokens, parallel } in takes {
            script.arg(name_of(account));
            for Counter { limit, need, add } in [requests, tokens, parallel] {
                script.arg(limit.map(|limit| limit.to_string()).unwrap_or_default()).arg(*need).arg(*add);
            }
        }
        let answer: Vec<i64> = self.ask(&script, FOR_A_CALL).await?;
        let (fits, counts) = answer.split_first().ok_or_else(|| Away("an answer is empty".to_owned()))?;
        let counts: Vec<Counts> =
            counts.chunks_exact(3).map(|of| Counts { requests: of[0], tokens: of[1], parallel: of[2] }).collect();
        if counts.len() != takes.len() {
            return Err(Away("an answer has another number of accounts".to_owned()));
        }
        Ok(Taken { fits: *fits == 1, counts })
    }

    pub(super) async fn beat(&self, lives: Duration) -> Result<u32, Away> {
        let mut script = self.call(&self.beat);
        script.arg(&self.instance).arg(u64::try_from(lives.as_millis()).unwrap_or(u64::MAX));
        self.ask(&script, PATIENCE).await
    }

    /// Passes on what became of calls, in one go.
    pub(super) async fn pass_on(&self, batch: &[Told]) -> Result<(), Away> {
        let mut pipeline = Pipeline::new();
        for script in [&self.end, &self.extend, &self.uses] {
            pipeline.load_script(script).ignore();
        }
        for told in batch {
            match told {
                Told::Settled { id, tokens } => {
                    let mut script = self.call(&self.end);
                    pipeline.invoke_script(script.arg(id.to_string()).arg(*tokens)).ignore();
                }
                Told::Released { id } => {
                    let mut script = self.call(&self.end);
                    pipeline.invoke_script(script.arg(id.to_string()).arg("")).ignore();
                }
                Told::Extended { id, expires_at, now } => {
                    let mut script = self.call(&self.extend);
                    let lives = expires_at.micros_since(*now) / 1_000;
                    pipeline.invoke_script(script.arg(id.to_string()).arg(lives)).ignore();
                }
                Told::Used { .. } => {}
            }
        }
        for (minute, accounts) in used(batch) {
            let mut script = self.call(&self.uses);
            script.arg(minute);
            for (account, tokens) in accounts {
                script.arg(account).arg(tokens);
            }
            pipeline.invoke_script(&script).ignore();
        }
        let mut connection = self.connection.clone();
        within(PATIENCE, pipeline.exec_async(&mut connection)).await
    }

    /// A script, with what each begins with.
    fn call<'a>(&self, script: &'a Script) -> ScriptInvocation<'a> {
        let mut call = script.prepare_invoke();
        call.arg(&self.prefix);
        call
    }

    async fn ask<T: redis::FromRedisValue>(&self, script: &ScriptInvocation<'_>, timeout: Duration) -> Result<T, Away> {
        let mut connection = self.connection.clone();
        within(timeout, script.invoke_async(&mut connection)).await
    }
}

async fn within<T>(timeout: Duration, answer: impl Future<Output = Result<T, RedisError>>) -> Result<T, Away> {
    match tokio::time::timeout(timeout, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Away(format!("no answer within {timeout:?}"))),
    }
}
