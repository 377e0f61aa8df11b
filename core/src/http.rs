//! The HTTP server for metrics and health: `/metrics`, `/healthz`, `/readyz`.
//!
//! It listens before the logs are recovered, so that `/readyz` can say that they are not.

use std::net::TcpListener;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::broker::Broker;
use crate::metrics::prometheus;

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The broker, once its logs are recovered.
pub type StartedBroker = Arc<OnceLock<Arc<Broker>>>;

/// Binds the server's socket. Clients can be served without it: a port that is taken is a warning.
#[must_use]
pub fn bind(address: &str) -> Option<TcpListener> {
    let bound =
        TcpListener::bind(address).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    match bound {
        Ok(listener) => {
            if let Ok(local) = listener.local_addr() {
                tracing::info!("metrics and health on http://{local}");
            }
            Some(listener)
        }
        Err(error) => {
            tracing::warn!(%address, %error, "no metrics and health over HTTP");
            None
        }
    }
}

/// Serves until the task is aborted.
pub async fn serve(listener: TcpListener, broker: StartedBroker) {
    let router = Router::new()
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .with_state(broker);
    let served = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => axum::serve(listener, router).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::warn!(%error, "metrics and health over HTTP ended");
    }
}

async fn metrics_page(State(broker): State<StartedBroker>) -> Response {
    match broker.get() {
        Some(broker) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], prometheus::render(broker)).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response(),
    }
}

/// Whether the process is worth keeping: when all log directories have failed it needs a restart.
async fn health(State(broker): State<StartedBroker>) -> Response {
    match broker.get() {
        Some(broker) if broker.partitions.is_offline() => {
            (StatusCode::SERVICE_UNAVAILABLE, "the log directories are offline\n").into_response()
        }
        _ => "ok\n".into_response(),
    }
}

/// Whether clients are served: after recovery, once groups and transactions are read, and until the broker stops.
async fn readiness(State(broker): State<StartedBroker>) -> Response {
    match broker.get() {
        Some(broker) if broker.lifecycle.is_ready() && !broker.partitions.is_offline() => {
            if broker.groups.is_loading() {
                (StatusCode::SERVICE_UNAVAILABLE, "loading groups\n").into_response()
            } else if broker.transactions.is_loading() {
                (StatusCode::SERVICE_UNAVAILABLE, "loading transactions\n").into_response()
            } else {
                "ready\n".into_response()
            }
        }
        Some(broker) if broker.lifecycle.is_stopping() => {
            (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response()
        }
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "the log directories are offline\n").into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response(),
    }
}
