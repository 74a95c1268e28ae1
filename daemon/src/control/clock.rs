//! The clock.

use axum::Json;
use axum::extract::State;
use memcache_core::Clock;
use memcache_embed::time::whole_seconds;
use serde::{Deserialize, Serialize};

use super::body::{Arguments, Nothing, Parameters, invalid};
use super::controlled::Controlled;
use crate::http::Error;

/// The state of the clock.
#[derive(Serialize)]
pub struct Shown {
    /// The Unix time.
    time: i64,
    frozen: bool,
}

/// By how much to move the clock.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Advance {
    seconds: f64,
}

/// The time to show.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    time: i64,
}

type Answer = Result<Json<Shown>, Error>;

/// `GET /v1/clock`
pub async fn show(State(of): State<Controlled>, Parameters(Nothing {}): Parameters<Nothing>) -> Answer {
    change(of, |_| {}).await
}

/// `POST /v1/clock/freeze`
pub async fn freeze(State(of): State<Controlled>, Arguments(Nothing {}): Arguments<Nothing>) -> Answer {
    change(of, Clock::freeze).await
}

/// `POST /v1/clock/resume`
pub async fn resume(State(of): State<Controlled>, Arguments(Nothing {}): Arguments<Nothing>) -> Answer {
    change(of, Clock::resume).await
}

/// `POST /v1/clock/reset`
pub async fn reset(State(of): State<Controlled>, Arguments(Nothing {}): Arguments<Nothing>) -> Answer {
    change(of, Clock::reset).await
}

/// `POST /v1/clock/advance`
pub async fn advance(State(of): State<Controlled>, Arguments(by): Arguments<Advance>) -> Answer {
    let seconds = whole_seconds(by.seconds).map_err(|e| invalid(e.to_string()))?;
    try_change(of, move |clock| advance_by(clock, "seconds", seconds)).await
}

/// `POST /v1/clock/set`
pub async fn set(State(of): State<Controlled>, Arguments(to): Arguments<Set>) -> Answer {
    try_change(of, move |clock| advance_by(clock, "time", to.time.saturating_sub(clock.unix()))).await
}

fn advance_by(clock: &Clock, argument: &str, seconds: i64) -> Result<(), Error> {
    clock.advance(seconds).map_err(|e| invalid(format!("{argument}: {e}")))
}

/// Changes the clock, and answers with what it shows then.
async fn change(of: Controlled, change: impl FnOnce(&Clock) + Send + 'static) -> Answer {
    let change = |clock: &Clock| {
        change(clock);
        Ok(())
    };
    try_change(of, change).await
}

async fn try_change(
    of: Controlled,
    change: impl FnOnce(&Clock) -> Result<(), Error> + Send + 'static,
) -> Answer {
    of.settled(move |of| {
        let clock = of.state.cache.clock();
        change(clock)?;
        Ok(Json(Shown { time: clock.unix(), frozen: clock.is_frozen() }))
    })
    .await?
}
