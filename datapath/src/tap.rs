//! A TAP device: the sleeve's port on the bridge.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use crate::link::{InterfaceName, NAME_LEN_MAX};
use nix::libc;

const CLONE_DEVICE: &str = "/dev/net/tun";

/// An open TAP device. The interface is gone when this is dropped.
#[derive(Debug)]
pub struct Tap {
    file: File,
}

/// `struct ifreq` of `<linux/if.h>` as TUNSETIFF reads it.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; libc::IFNAMSIZ],
    flags: libc::c_short,
    rest: [u8; size_of::<libc::ifreq>() - libc::IFNAMSIZ - size_of::<libc::c_short>()],
}

const _: () = assert!(size_of::<InterfaceRequest>() == size_of::<libc::ifreq>());

impl Tap {
    /// Makes the interface `name` in the namespace of the calling thread. It is down and on no
    /// bridge ([`crate::bridge::attach_port`]); reads and writes do not wait.
    ///
    /// # Errors
    /// Says what to do when the device is missing, not permitted, or the name is in use.
    pub fn open(name: &str) -> io::Result<Self> {
        let say = |why: io::Error, what: String| io::Error::new(why.kind(), what);
        if let Err(why) = name.parse::<InterfaceName>() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(CLONE_DEVICE)
            .map_err(|why| {
                let what = if why.kind() == io::ErrorKind::PermissionDenied {
                    format!("not permitted to open {CLONE_DEVICE}: run as root, or allow the device")
                } else {
                    format!(
                        "no TAP device ({why}): load the tun module (modprobe tun) or make {CLONE_DEVICE} available"
                    )
                };
                say(why, what)
            })?;
        set_interface(&file, name).map_err(|why| {
            let what = match why.raw_os_error() {
                Some(libc::EPERM) => {
                    format!("not permitted to make the TAP device '{name}': NET_ADMIN is needed")
                }
                Some(libc::EBUSY) => {
                    format!(
                        "the network interface '{name}' exists already: stop the weft that made it, or else remove it with `ip link del {name}`, or choose another name with --bridge"
                    )
                }
                Some(_) | None => format!("cannot make the TAP device '{name}': {why}"),
            };
            say(why, what)
        })?;
        Ok(Self { file })
    }

    /// Takes the next frame that the bridge sends into the mesh; returns its length.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; others mean that the interface is gone.
    pub fn read_frame(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buffer)
    }

    /// Puts a whole frame onto the bridge.
    ///
    /// # Errors
    /// `WouldBlock` or the kernel's reason; the frame is then lost.
    pub fn write_frame(&self, frame: &[u8]) -> io::Result<()> {
        (&self.file).write(frame).map(|_| ())
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn set_interface(file: &File, name: &str) -> io::Result<()> {
    // Exclusive: one that is there belongs to somebody else.
    #[expect(clippy::cast_possible_truncation, reason = "all flags fit the kernel's 16 bits")]
    let flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_TUN_EXCL) as libc::c_short;
    let mut request = InterfaceRequest { name: [0; libc::IFNAMSIZ], flags, rest: [0; _] };
    for (to, from) in request.name.iter_mut().zip(name.bytes()).take(NAME_LEN_MAX) {
        *to = from;
    }
    #[expect(unsafe_code, reason = "the standard library has no ioctl")]
    // SAFETY: TUNSETIFF (Documentation/networking/tuntap.rst) reads and writes back one `struct
    // ifreq` behind the pointer. `request` is of that size, initialised in full, borrowed
    // mutably and alive for the call; the kernel keeps no reference to it.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
