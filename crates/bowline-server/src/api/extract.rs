//! What handlers take, with our own error body where it cannot be read.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::BODY_BYTES_MAX;
use crate::error::Error;

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

/// The parts of the path.
pub(crate) struct Path<T>(pub(crate) T);

/// The query.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let refused = |error: JsonRejection| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge(BODY_BYTES_MAX),
            _ => Error::Invalid(error.body_text()),
        };
        Json::from_request(request, state).await.map(|Json(body)| Self(body)).map_err(refused)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(found)| Self(found)).map_err(|error| Error::Invalid(error.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        query.map(|axum::extract::Query(found)| Self(found)).map_err(|error| Error::Invalid(error.body_text()))
    }
}
