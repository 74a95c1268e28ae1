//! The faults.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use memcache_core::{FaultRule, FaultRuleId};
use memcache_embed::faults::{self, Conditions, FaultError};
use serde::{Deserialize, Serialize};

use super::body::{Arguments, Nothing, Parameters, invalid};
use super::controlled::Controlled;
use crate::http::Error;

/// Rules that there are at most, or a few more if requests come at once. A command may have to
/// compare itself with each.
const LIMIT: usize = 256;

/// A fault and its conditions, as requests describe them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct New {
    kind: String,
    seconds: Option<f64>,
    message: Option<String>,
    after: Option<usize>,
    command: Option<String>,
    key: Option<String>,
    times: Option<u64>,
    probability: Option<f64>,
}

/// A fault, its conditions and its use.
#[derive(Serialize)]
pub struct Shown {
    id: u64,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<usize>,
    command: Option<String>,
    key: Option<String>,
    times: Option<u64>,
    probability: f64,
    applied: u64,
}

impl From<(FaultRuleId, FaultRule, u64)> for Shown {
    fn from((FaultRuleId(id), rule, applied): (FaultRuleId, FaultRule, u64)) -> Self {
        let (kind, faults::Parameters { seconds, message, after }) = faults::described(&rule.fault);
        let FaultRule { command, times, probability, .. } = rule;
        let key = rule.key.map(|key| String::from_utf8_lossy(&key).into_owned());
        Self { id, kind, seconds, message, after, command, key, times, probability, applied }
    }
}

/// All faults, in the order in which commands meet them.
#[derive(Serialize)]
pub struct List {
    faults: Vec<Shown>,
}

/// How often a removed fault applied.
#[derive(Serialize)]
pub struct Removed {
    applied: u64,
}

/// `GET /v1/faults`
pub async fn list(
    State(of): State<Controlled>,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Result<Json<List>, Error> {
    let rules = of.settled(|of| of.state.cache.faults().rules()).await?;
    Ok(Json(List { faults: rules.into_iter().map(Shown::from).collect() }))
}

/// `POST /v1/faults`
pub async fn add(
    State(of): State<Controlled>,
    Arguments(new): Arguments<New>,
) -> Result<(StatusCode, Json<Shown>), Error> {
    let New { kind, seconds, message, after, command, key, times, probability } = new;
    let refused = |e: FaultError| invalid(e.to_string());
    let fault = faults::named(&kind, &faults::Parameters { seconds, message, after }).map_err(refused)?;
    let when = Conditions { command, key: key.map(String::into_bytes), times, probability };
    let added = of.settled(move |of| {
        let faults = of.state.cache.faults();
        if faults.rules().len() >= LIMIT {
            let message = format!("a server takes at most {LIMIT} faults; remove one");
            return Err(Error::new(StatusCode::CONFLICT, "too_many_faults", message));
        }
        let id = faults::inject(&of.state.cache, fault, when).map_err(refused)?.id();
        found(faults.rules(), id.0)
    });
    Ok((StatusCode::CREATED, Json(added.await??)))
}

/// `GET /v1/faults/{id}`
pub async fn show(
    State(of): State<Controlled>,
    id: Result<Path<u64>, PathRejection>,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Result<Json<Shown>, Error> {
    let Path(id) = id.map_err(|_| unknown())?;
    found(of.settled(|of| of.state.cache.faults().rules()).await?, id).map(Json)
}

/// `DELETE /v1/faults/{id}`
pub async fn remove(
    State(of): State<Controlled>,
    id: Result<Path<u64>, PathRejection>,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Result<Json<Removed>, Error> {
    let Path(id) = id.map_err(|_| unknown())?;
    let applied = of.settled(move |of| of.state.cache.faults().remove(FaultRuleId(id))).await?;
    applied.map(|applied| Json(Removed { applied })).ok_or_else(unknown)
}

/// `DELETE /v1/faults`
pub async fn clear(
    State(of): State<Controlled>,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Result<Json<List>, Error> {
    of.settled(|of| of.state.cache.faults().clear()).await?;
    Ok(Json(List { faults: Vec::new() }))
}

fn found(rules: Vec<(FaultRuleId, FaultRule, u64)>, id: u64) -> Result<Shown, Error> {
    rules.into_iter().find(|(of, ..)| of.0 == id).map(Shown::from).ok_or_else(unknown)
}

fn unknown() -> Error {
    Error::new(
        StatusCode::NOT_FOUND,
        "unknown_fault",
        "there is no fault with this id; GET /v1/faults lists all",
    )
}
