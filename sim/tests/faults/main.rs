//! Every kind of fault: that it really happens, and that a mesh comes through it.

mod bed;
mod clocks;
mod datagrams;
mod disks;
mod engines;
mod insiders;
mod outsiders;
mod places;
mod streams;
