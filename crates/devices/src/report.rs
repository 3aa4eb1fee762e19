//! How a device reports what the guest did wrong and what the model leaves out.
//!
//! Both go to the log target `dev::<chip>` at debug level, which a release build compiles out: a guest that
//! breaks the data sheet in a loop costs nothing there.

/// The guest broke the data sheet: says how, and the device goes on as documented.
macro_rules! guest_error {
    ($chip:literal, $($message:tt)+) => {
        tracing::debug!(target: concat!("dev::", $chip), kind = "guest error", $($message)+)
    };
}

/// The guest used something that the model accepts and ignores.
macro_rules! unimplemented_feature {
    ($chip:literal, $($message:tt)+) => {
        tracing::debug!(target: concat!("dev::", $chip), kind = "not modelled", $($message)+)
    };
}
