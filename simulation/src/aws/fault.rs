//! Errors: what a service answers, and what a test makes it answer.

use super::{Place, query};
use bytes::Bytes;
use http::{Response, StatusCode};
use std::{fmt, time::Duration};

/// An error as AWS answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// HTTP status.
    pub status: StatusCode,
    /// AWS's code, such as `DBInstanceNotFound`.
    pub code: String,
    /// AWS's message.
    pub message: String,
}

impl Fault {
    /// An error that the caller made.
    #[must_use]
    pub fn sender(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }

    /// Status 400.
    #[must_use]
    pub fn bad_request(code: &str, message: impl Into<String>) -> Self {
        Self::sender(StatusCode::BAD_REQUEST, code, message)
    }

    /// Status 404.
    #[must_use]
    pub fn not_found(code: &str, message: impl Into<String>) -> Self {
        Self::sender(StatusCode::NOT_FOUND, code, message)
    }

    /// As AWS throttles the Query protocol.
    #[must_use]
    pub fn throttling() -> Self {
        Self::bad_request("Throttling", "Rate exceeded")
    }

    pub(super) fn xml_response(&self) -> Response<Bytes> {
        query::error(self)
    }
}

/// What happens to a call instead of, or besides, what should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is not performed; this is answered.
    Answer(Fault),
    /// The connection is cut before it is performed.
    CutRequest,
    /// It is performed, and the connection is cut before the reply.
    CutReply,
    /// The connection is cut, and it is performed so much later, whoever has sent it.
    Late(Duration),
}

/// A fault that a test orders.
#[derive(Clone, Debug)]
pub struct Injection {
    /// Which calls: `rds:CreateDBInstance`, or with a `*` at its end, a beginning.
    pub action: String,
    /// How many such calls go well before.
    pub after: u32,
    /// How many it hits.
    pub times: u32,
    /// What happens to them.
    pub effect: Effect,
}

/// Decides what befalls a call, by its place and its action.
type Rule = Box<dyn FnMut(&Place, &str) -> Option<Effect> + Send>;

/// The faults that are still to come.
#[derive(Default)]
pub(super) struct Faults {
    orders: Vec<Injection>,
    rule: Option<Rule>,
}

impl Faults {
    pub fn add(&mut self, injection: Injection) {
        self.orders.push(injection);
    }

    pub fn set_rule(&mut self, rule: Rule) {
        self.rule = Some(rule);
    }

    /// What happens to this call. The earliest order that matches is used up first.
    pub fn draw(&mut self, place: &Place, action: &str) -> Option<Effect> {
        let matches = |pattern: &str| match pattern.strip_suffix('*') {
            Some(beginning) => action.starts_with(beginning),
            None => action == pattern,
        };
        for order in self.orders.iter_mut().filter(|order| order.times > 0 && matches(&order.action)) {
            if order.after > 0 {
                order.after -= 1;
                continue;
            }
            order.times -= 1;
            return Some(order.effect.clone());
        }
        self.rule.as_mut().and_then(|rule| rule(place, action))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("orders", &self.orders).finish_non_exhaustive()
    }
}
