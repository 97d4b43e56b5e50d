//! The control role: API, rollout driver, snapshot service, console.
