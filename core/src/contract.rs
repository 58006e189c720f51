//! The contract between a node and its driver, as a judge of both.
//!
//! States what the crate's documentation promises and asks: see there for the numbers.

use crate::io::{ConnId, Deadline, Input, Output, RequestId};
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnState {
    Dialing,
    Open,
    Writing,
    Over,
}

/// What one run of one node was told and asked for so far.
#[derive(Debug, Default)]
pub struct Contract {
    conns: BTreeMap<ConnId, ConnState>,
    asked: BTreeSet<RequestId>,
    answered: BTreeSet<RequestId>,
}

impl Contract {
    /// Notes an input. A fault here is the simulator's own.
    ///
    /// # Errors
    /// Says which promise was broken.
    pub fn input(&mut self, input: &Input) -> Result<(), String> {
        match input {
            Input::Timeout | Input::Datagram { .. } | Input::Wanted { .. } => Ok(()),
            Input::Opened { conn, .. } => {
                let before = self.conns.insert(*conn, ConnState::Open);
                let fits = match before {
                    None => !conn.is_dialed(),
                    Some(state) => conn.is_dialed() && state == ConnState::Dialing,
                };
                if fits { Ok(()) } else { Err(format!("{conn} was opened while {before:?}")) }
            }
            Input::DialFailed { conn, .. } => {
                self.step(*conn, &[ConnState::Dialing], ConnState::Over)
            }
            Input::Received { conn, bytes } => match self.conns.get(conn) {
                Some(ConnState::Open | ConnState::Writing) if !bytes.is_empty() => Ok(()),
                state => Err(format!("{conn} received {} bytes while {state:?}", bytes.len())),
            },
            Input::Written { conn } => self.step(*conn, &[ConnState::Writing], ConnState::Open),
            Input::Closed { conn, .. } => {
                self.step(*conn, &[ConnState::Open, ConnState::Writing], ConnState::Over)
            }
            Input::Command { request, .. } => {
                let fresh = self.asked.insert(*request);
                if fresh { Ok(()) } else { Err(format!("request {} was asked twice", request.0)) }
            }
        }
    }

    /// Notes an output.
    ///
    /// # Errors
    /// Says which promise was broken.
    pub fn output(&mut self, output: &Output) -> Result<(), String> {
        match output {
            Output::Dial { conn, .. } => match self.conns.insert(*conn, ConnState::Dialing) {
                None if conn.is_dialed() => Ok(()),
                state => Err(format!("point 6: {conn} is dialed while {state:?}")),
            },
            Output::Write { conn, bytes } => {
                if bytes.is_empty() {
                    return Err(format!("{conn}: a write of no bytes"));
                }
                self.step(*conn, &[ConnState::Open], ConnState::Writing)
                    .map_err(|why| format!("points 5, 6: write: {why}"))
            }
            Output::Close { conn } => self
                .step(
                    *conn,
                    &[ConnState::Dialing, ConnState::Open, ConnState::Writing],
                    ConnState::Over,
                )
                .map_err(|why| format!("point 6: close: {why}")),
            Output::Reply { request, result } => {
                if !self.asked.contains(request) {
                    return Err(format!(
                        "point 7: reply to {}, never asked: {result:?}",
                        request.0
                    ));
                }
                let first = self.answered.insert(*request);
                if first { Ok(()) } else { Err(format!("point 7: {} answered twice", request.0)) }
            }
            Output::Datagram { .. }
            | Output::Persist(_)
            | Output::Forwarding(_)
            | Output::Event(_) => Ok(()),
        }
    }

    /// Judges the state after a call.
    ///
    /// # Errors
    /// When something was left due (point 1).
    pub fn rest(&self, now: Instant, deadline: Option<Deadline>) -> Result<(), String> {
        match deadline {
            Some(deadline) if deadline.at <= now => {
                Err(format!("point 1: {:?} was left due at {}", deadline.timer, deadline.at))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// How many commands still wait for their reply.
    pub fn unanswered(&self) -> usize {
        self.asked.len() - self.answered.len()
    }

    fn step(&mut self, conn: ConnId, from: &[ConnState], to: ConnState) -> Result<(), String> {
        match self.conns.get_mut(&conn) {
            Some(state) if from.contains(state) => {
                *state = to;
                Ok(())
            }
            state => Err(format!("{conn} is {state:?}, expected one of {from:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Command, Reply, Target, Timer};
    use alloc::borrow::ToOwned;
    use alloc::vec;

    const CONN: ConnId = ConnId::dialed(0);

    fn opened() -> Contract {
        let mut contract = Contract::default();
        let target = Target { host: "n2".to_owned(), port: 1 };
        contract.output(&Output::Dial { conn: CONN, target }).unwrap();
        let at = "192.0.2.1:1".parse().unwrap();
        contract.input(&Input::Opened { conn: CONN, local: at, remote: at }).unwrap();
        contract
    }

    #[test]
    fn a_second_write_before_written_is_a_breach() {
        let mut contract = opened();
        let write = Output::Write { conn: CONN, bytes: vec![1] };
        contract.output(&write).unwrap();
        assert!(contract.output(&write).is_err());
    }

    #[test]
    fn naming_a_conn_after_close_is_a_breach() {
        let mut contract = opened();
        contract.output(&Output::Close { conn: CONN }).unwrap();
        assert!(contract.output(&Output::Close { conn: CONN }).is_err());
        assert!(contract.output(&Output::Write { conn: CONN, bytes: vec![1] }).is_err());
        assert!(contract.input(&Input::Received { conn: CONN, bytes: vec![1] }).is_err());
    }

    #[test]
    fn a_reply_that_nobody_asked_for_or_a_second_one_is_a_breach() {
        let mut contract = Contract::default();
        let request = RequestId(1);
        let reply = Output::Reply { request, result: Ok(Reply::Done) };
        assert!(contract.output(&reply).is_err());
        contract.input(&Input::Command { request, command: Command::Prime }).unwrap();
        contract.output(&reply).unwrap();
        assert!(contract.output(&reply).is_err());
    }

    #[test]
    fn a_deadline_that_has_come_is_a_breach() {
        let at = Instant::from_nanos(5);
        let due = Some(Deadline { at, timer: Timer::Dial });
        assert!(Contract::default().rest(at, due).is_err());
        assert!(Contract::default().rest(Instant::from_nanos(4), due).is_ok());
    }
}
