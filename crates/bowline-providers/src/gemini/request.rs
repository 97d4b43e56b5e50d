mod decode;
mod encode;

pub(super) use decode::{decode_part, decode_request};
pub(super) use encode::{encode_part, encode_request};
