use axum::Router;

use crate::api::Server;

pub(crate) fn routes() -> Router<Server> {
    Router::new()
}
