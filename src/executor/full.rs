//! When the disk is full: new orders are refused at once, and what was accepted comes to its end, on the reserve or when
//! there is room again.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::QUEUE_MAX;
use super::clock;
use super::round::Round;
use super::shard::{ApplyError, Message, Shard, answer};
use crate::store::StoreError;
use crate::types::{OrderId, Position};

/// How long until it is tried again.
const PAUSE: Duration = Duration::from_millis(500);

impl Shard {
    /// Commits a round, without its new orders if the disk has no room for them. None when the loop was told to stop
    /// while it waited for room: nothing of the round was written then.
    pub(super) async fn commit(&mut self, round: &mut Round) -> Result<Option<Vec<Position>>, StoreError> {
        let mut waited = false;
        while !round.commits.is_empty() {
            match self.shared.store.commit(Arc::clone(&round.commits)).await {
                Err(StoreError::Full) if self.refuse_new_orders(round) => {}
                Err(StoreError::Full) => {
                    if !waited {
                        tracing::error!("the disk is full, and so is the reserve; orders wait until there is room");
                    }
                    waited = true;
                    self.wait_for_room().await;
                    if self.stopping.is_some() {
                        round.refuse(&StoreError::Full);
                        return Ok(None);
                    }
                }
                committed => return committed.map(Some),
            }
        }
        Ok(Some(Vec::new()))
    }

    /// Takes the new orders out of a round, with what has come for them since; false when there are none. Nothing of
    /// them has happened yet: what an order asks for is sent after its commit.
    fn refuse_new_orders(&mut self, round: &mut Round) -> bool {
        let new = round.commits.iter().filter(|commit| commit.entry.is_new_order());
        let refused: HashSet<OrderId> = new.map(|commit| commit.entry.order).collect();
        if refused.is_empty() {
            return false;
        }
        Arc::make_mut(&mut round.commits).retain(|commit| !refused.contains(&commit.entry.order));
        round.dispatches.retain(|(order, _)| !refused.contains(order));
        round.ended.retain(|(order, _)| !refused.contains(order));
        for (reply, _) in round.replies.extract_if(.., |(_, applied)| refused.contains(&applied.snapshot.id)) {
            answer(Some(reply), Err(ApplyError::Store(StoreError::Full)));
        }
        refused.into_iter().for_each(|order| self.core.withdraw(order));
        true
    }

    /// Waits a moment. Meanwhile new orders are refused, and everything else is kept for later.
    async fn wait_for_room(&mut self) {
        let pause = clock::pause(PAUSE);
        tokio::pin!(pause);
        loop {
            let message = tokio::select! {
                biased;
                () = &mut pause => break,
                message = self.inbox.recv(), if self.ready.len() < QUEUE_MAX => message,
            };
            match message {
                Some(Message::Open { opened, reply }) if opened.parent.is_none() => {
                    answer(reply, Err(ApplyError::Store(StoreError::Full)));
                }
                Some(message) => self.ready.push_back(message),
                None => {
                    self.stopping = Some(tokio::sync::oneshot::channel().0);
                    return;
                }
            }
        }
        // What waits cannot be recorded in time: after the next start it is as after a crash. The message that says
        // so stands behind it.
        if self.shared.stopping.load(Ordering::Acquire) {
            self.stopping = Some(tokio::sync::oneshot::channel().0);
        }
    }
}

impl Round {
    /// Tells everybody who asked for anything in it that it did not happen.
    pub(super) fn refuse(&mut self, error: &StoreError) {
        for (reply, _) in self.replies.drain(..) {
            answer(Some(reply), Err(ApplyError::Store(error.clone())));
        }
    }
}
