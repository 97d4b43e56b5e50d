use std::time::Duration;

use crate::review::ReviewOptions;

/// How the gateway works. Every bound has a name.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// The largest request body, in bytes. Default: 32 MiB.
    pub request_bytes_max: usize,
    /// The largest answer that is read whole, in bytes. Default: 64 MiB.
    pub answer_bytes_max: usize,
    /// The most calls in flight; one more is refused with 429. Default: 10,000.
    pub in_flight_max: usize,
    /// How many upstream calls one request may take, over retries and fallbacks. Default: 3.
    pub attempts_max: u32,
    /// The longest wait before a retry, whatever the provider asks for; beyond it the error goes to the client. Default: 2 s.
    pub retry_wait_max: Duration,
    /// How much text of an answer is kept for checks, in bytes; beyond it checks on the text are unknown. Default: 1 MiB.
    pub check_text_bytes_max: usize,
    /// How many calls may wait for one provider that starts; one more is refused with 503. Default: 64.
    pub hold_max: usize,
    /// How long a call waits for a provider that starts; then it is refused with 503. Default: 2 min.
    pub hold_time_max: Duration,
    /// How often a client whose stream waits hears of it, so that nobody on the way takes it for dead. Default: 15 s.
    pub hold_keep_alive: Duration,
    /// How long a client may take to send the body of a request, or to take a piece of a stream. Default: 60 s.
    pub client_timeout: Duration,
    /// How long shutdown waits for calls in flight. Default: 10 s.
    pub drain: Duration,
    /// How old the last word of the control role may be before keys are refused, since one may be revoked by now; `None`, the
    /// default, serves on however old it is.
    pub snapshot_age_max: Option<Duration>,
    /// How often references to secrets are read again, so that a rotated one takes effect. Default: 5 s.
    pub secrets_interval: Duration,
    /// How tokens that are no keys are reviewed, where there is somebody to ask.
    pub review: ReviewOptions,
    /// How records leave.
    pub recorder: RecorderOptions,
}

/// How records leave the gateway.
#[derive(Clone, Debug)]
pub struct RecorderOptions {
    /// Records that may wait; what comes beyond is counted as lost. Default: 65,536.
    pub queue_max: usize,
    /// Bytes that may wait, about; what comes beyond is counted as lost. Default: 256 MiB.
    pub queue_bytes_max: usize,
    /// The most records in one batch. Default: 512.
    pub batch_max: usize,
    /// How long a batch that is not full waits for more: a batch is a transaction, and one for each record is most of what a
    /// record costs. Zero waits for nothing, and so does a journal. Default: 20 ms.
    pub batch_wait: Duration,
    /// The wait before a failed batch is sent again, doubling up to 32 times that. Default: 50 ms.
    pub retry_wait: Duration,
    /// How long an answer waits for its record, where the sink is a journal; then it ends ahead of it. Default: 1 s.
    pub answer_wait_max: Duration,
}

// === impl GatewayOptions ===

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            request_bytes_max: 32 * 1024 * 1024,
            answer_bytes_max: 64 * 1024 * 1024,
            in_flight_max: 10_000,
            attempts_max: 3,
            retry_wait_max: Duration::from_secs(2),
            check_text_bytes_max: 1024 * 1024,
            hold_max: 64,
            hold_time_max: Duration::from_secs(120),
            hold_keep_alive: Duration::from_secs(15),
            client_timeout: Duration::from_secs(60),
            drain: Duration::from_secs(10),
            snapshot_age_max: None,
            secrets_interval: Duration::from_secs(5),
            review: ReviewOptions::default(),
            recorder: RecorderOptions::default(),
        }
    }
}

// === impl RecorderOptions ===

impl Default for RecorderOptions {
    fn default() -> Self {
        Self {
            queue_max: 65_536,
            queue_bytes_max: 256 * 1024 * 1024,
            batch_max: 512,
            batch_wait: Duration::from_millis(20),
            retry_wait: Duration::from_millis(50),
            answer_wait_max: Duration::from_secs(1),
        }
    }
}
