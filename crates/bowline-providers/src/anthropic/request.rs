mod decode;
mod encode;

pub(super) use decode::{decode_block, decode_request};
pub(super) use encode::{encode_block, encode_request};
