mod decode;
mod encode;

pub use decode::stream_decoder;
pub use encode::StreamEncoder;
