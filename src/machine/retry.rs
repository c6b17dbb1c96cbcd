//! When something is tried again.

use std::time::Duration;

use crate::definition::{Delays, RetryPolicy};
use crate::types::{CallId, OrderId};

/// How long to wait before try number `tries + 1`. Full jitter draws evenly from nothing to the whole delay; the draw is
/// a hash of (order, call, tries), so that the same journal always gives the same delay.
pub(super) fn delay(policy: &RetryPolicy, order: OrderId, call: CallId, tries: u32) -> Duration {
    let whole = match &policy.delays {
        Delays::Exponential { initial, factor, max } => {
            let steps = i32::try_from(tries.saturating_sub(1)).unwrap_or(i32::MAX);
            let seconds = initial.as_secs_f64() * factor.powi(steps);
            // Beyond the cap the product may be infinite: the cap decides before it is made a duration.
            if seconds.is_finite() && seconds < max.as_secs_f64() { Duration::from_secs_f64(seconds) } else { *max }
        }
        Delays::Schedule(delays) => step(delays, tries.saturating_sub(1)),
    };
    if !policy.jitter {
        return whole;
    }
    let ms = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(draw(order, call, tries) % ms.saturating_add(1).max(1))
}

/// The n-th delay of a schedule; the last one repeats.
pub(super) fn step(delays: &[Duration], index: u32) -> Duration {
    let at = usize::try_from(index).unwrap_or(usize::MAX);
    delays.get(at).or(delays.last()).copied().unwrap_or(Duration::from_secs(60))
}

/// SplitMix64 (Steele, Lea, Flood 2014) over what identifies the try.
fn draw(order: OrderId, call: CallId, tries: u32) -> u64 {
    let mut state = u64::from(call.0) << 32 | u64::from(tries);
    for chunk in order.as_bytes().chunks(8) {
        let word = chunk.iter().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
        state = mix(state ^ word);
    }
    state
}

fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
