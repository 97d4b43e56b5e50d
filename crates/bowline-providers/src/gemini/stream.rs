mod decode;
mod encode;

pub(super) use decode::stream_decoder;
pub(super) use encode::stream_encoder;
