//! The C side of GSSAPI: `libgssapi_krb5.so.2` (MIT), opened at run time, and the nine functions that an acceptor
//! needs. This is the one file of the project with `unsafe` in it; all that it lets out is safe.
//!
//! Layouts are those of RFC 2744 (C bindings), `gss_key_value_*` those of MIT's `gssapi_ext.h`, on platforms where
//! neither is packed (all but Apple's).
#![allow(unsafe_code, reason = "the one file that calls a C library; every block says why it is sound")]

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;

/// `OM_uint32`.
type Number = u32;

#[repr(C)]
#[derive(Clone, Copy)]
struct Oid {
    length: Number,
    elements: *const c_void,
}

#[repr(C)]
struct OidSet {
    count: usize,
    elements: *const Oid,
}

#[repr(C)]
struct Buffer {
    length: usize,
    value: *const c_void,
}

#[repr(C)]
struct Bindings {
    initiator_addrtype: Number,
    initiator_address: Buffer,
    acceptor_addrtype: Number,
    acceptor_address: Buffer,
    application_data: Buffer,
}

#[repr(C)]
struct KeyValue {
    key: *const c_char,
    value: *const c_char,
}

#[repr(C)]
struct KeyValueSet {
    count: Number,
    elements: *const KeyValue,
}

/// `gss_cred_id_t`, `gss_ctx_id_t` and `gss_name_t`: pointers to what only the library knows.
type Handle = *mut c_void;

type AcquireCredFrom = unsafe extern "C" fn(
    minor: *mut Number,
    desired_name: Handle,
    time: Number,
    mechanisms: *const OidSet,
    usage: c_int,
    store: *const KeyValueSet,
    credential: *mut Handle,
    actual_mechanisms: *mut *mut OidSet,
    actual_time: *mut Number,
) -> Number;
type AcceptSecContext = unsafe extern "C" fn(
    minor: *mut Number,
    context: *mut Handle,
    credential: Handle,
    token: *const Buffer,
    bindings: *const Bindings,
    source: *mut Handle,
    mechanism: *mut *const Oid,
    answer: *mut Buffer,
    flags: *mut Number,
    time: *mut Number,
    delegated: *mut Handle,
) -> Number;
type DisplayName = unsafe extern "C" fn(
    minor: *mut Number,
    name: Handle,
    text: *mut Buffer,
    kind: *mut *const Oid,
) -> Number;
type DisplayStatus = unsafe extern "C" fn(
    minor: *mut Number,
    status: Number,
    kind: c_int,
    mechanism: *const Oid,
    more: *mut Number,
    text: *mut Buffer,
) -> Number;
type DeleteSecContext =
    unsafe extern "C" fn(minor: *mut Number, context: *mut Handle, token: *mut Buffer) -> Number;
/// `gss_release_buffer`.
type ReleaseBuffer = unsafe extern "C" fn(minor: *mut Number, buffer: *mut Buffer) -> Number;
/// `gss_release_cred`, `gss_release_name`.
type ReleaseHandle = unsafe extern "C" fn(minor: *mut Number, handle: *mut Handle) -> Number;

const LIBRARY: &str = "libgssapi_krb5.so.2";
const INDEFINITE: Number = Number::MAX;
const ACCEPT: c_int = 2;
const MECHANISM_CODE: c_int = 2;
const ROUTINE_CODE: c_int = 1;
const KRB5: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02];
const SPNEGO: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x02];
/// Of a status: that of the routine, which is an error.
const ERROR: Number = 0xffff_0000;
/// Of a status: another leg is needed.
const CONTINUE_NEEDED: Number = 1;
/// How many lines of explanation are read.
const LINES_MAX: usize = 8;

impl Oid {
    const fn of(bytes: &'static [u8]) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "object identifiers here have at most nine bytes"
        )]
        Self { length: bytes.len() as Number, elements: bytes.as_ptr().cast() }
    }
}

impl Buffer {
    const EMPTY: Self = Self { length: 0, value: null() };

    const fn of(bytes: &[u8]) -> Self {
        Self { length: bytes.len(), value: bytes.as_ptr().cast() }
    }
}

/// A status of the library: that of the routine, and what it says to people.
#[derive(Debug, Clone)]
pub(super) struct Status {
    /// The routine's error (RFC 2744 section 3.9.1), not shifted.
    pub(super) routine: u16,
    pub(super) text: String,
}

/// The library and its functions.
pub(super) struct Api {
    acquire_cred_from: AcquireCredFrom,
    accept_sec_context: AcceptSecContext,
    display_name: DisplayName,
    display_status: DisplayStatus,
    delete_sec_context: DeleteSecContext,
    release_buffer: ReleaseBuffer,
    release_cred: ReleaseHandle,
    release_name: ReleaseHandle,
    /// The functions are its own: it stays as long as they do.
    _library: libloading::Library,
}

impl Api {
    /// Opens the library.
    ///
    /// # Errors
    /// If it is not installed, or is too old to have a function (`gss_acquire_cred_from` came with MIT 1.11).
    pub(super) fn load() -> Result<Self, libloading::Error> {
        // SAFETY: the library is the system's own, and its initializers may run at any time, in any thread: every
        // program that is linked with it has them run so.
        let library = unsafe { libloading::Library::new(LIBRARY) }?;
        // SAFETY: the library exports a function of this type under this name (gssapi_ext.h).
        let acquire_cred_from = *unsafe { library.get::<AcquireCredFrom>("gss_acquire_cred_from") }?;
        // SAFETY: the library exports a function of this type under this name (RFC 2744 section 5.1).
        let accept_sec_context = *unsafe { library.get::<AcceptSecContext>("gss_accept_sec_context") }?;
        // SAFETY: as above, section 5.10.
        let display_name = *unsafe { library.get::<DisplayName>("gss_display_name") }?;
        // SAFETY: as above, section 5.11.
        let display_status = *unsafe { library.get::<DisplayStatus>("gss_display_status") }?;
        // SAFETY: as above, section 5.9.
        let delete_sec_context = *unsafe { library.get::<DeleteSecContext>("gss_delete_sec_context") }?;
        // SAFETY: as above, section 5.26.
        let release_buffer = *unsafe { library.get::<ReleaseBuffer>("gss_release_buffer") }?;
        // SAFETY: as above, section 5.27.
        let release_cred = *unsafe { library.get::<ReleaseHandle>("gss_release_cred") }?;
        // SAFETY: as above, section 5.28.
        let release_name = *unsafe { library.get::<ReleaseHandle>("gss_release_name") }?;
        Ok(Self {
            acquire_cred_from,
            accept_sec_context,
            display_name,
            display_status,
            delete_sec_context,
            release_buffer,
            release_cred,
            release_name,
            _library: library,
        })
    }

    /// Copies what the library allocated, and gives it back to the library.
    fn taken(&self, mut buffer: Buffer) -> Vec<u8> {
        let bytes = if buffer.value.is_null() || buffer.length == 0 {
            Vec::new()
        } else {
            // SAFETY: the library says that so many bytes are there, and nobody else has the buffer.
            unsafe { std::slice::from_raw_parts(buffer.value.cast::<u8>(), buffer.length) }.to_vec()
        };
        let mut minor = 0;
        // SAFETY: the buffer is the library's own, or empty, which the function takes as well; it is given back once,
        // and `buffer` ends here.
        unsafe { (self.release_buffer)(&raw mut minor, &raw mut buffer) };
        bytes
    }

    /// What a status says to people, in the words of the mechanism where it has any.
    fn status(&self, major: Number, minor: Number) -> Status {
        let mut text = if minor == 0 { String::new() } else { self.words(minor, MECHANISM_CODE) };
        if text.is_empty() {
            text = self.words(major, ROUTINE_CODE);
        }
        Status { routine: u16::try_from((major & ERROR) >> 16).unwrap_or(0), text }
    }

    fn words(&self, status: Number, kind: c_int) -> String {
        let mut lines = Vec::new();
        let mut more = 0;
        for _ in 0..LINES_MAX {
            let (mut minor, mut text) = (0, Buffer::EMPTY);
            // SAFETY: all pointers are to locals that outlive the call; a null mechanism means the default one.
            let major = unsafe {
                (self.display_status)(&raw mut minor, status, kind, null(), &raw mut more, &raw mut text)
            };
            let text = self.taken(text);
            if major & ERROR != 0 {
                break;
            }
            lines.push(String::from_utf8_lossy(&text).into_owned());
            if more == 0 {
                break;
            }
        }
        lines.join("; ")
    }

    /// The name behind a handle, which is given back.
    fn name(&self, mut handle: Handle) -> Result<String, Status> {
        let (mut minor, mut text, mut kind) = (0, Buffer::EMPTY, null());
        // SAFETY: `handle` is a name that the library made; the other pointers are to locals that outlive the call.
        let major = unsafe { (self.display_name)(&raw mut minor, handle, &raw mut text, &raw mut kind) };
        let bytes = self.taken(text);
        let failed = (major & ERROR != 0).then(|| self.status(major, minor));
        // SAFETY: the name is the library's own and is given back once: `handle` ends here.
        unsafe { (self.release_name)(&raw mut minor, &raw mut handle) };
        match failed {
            Some(status) => Err(status),
            None => String::from_utf8(bytes)
                .map_err(|_| Status { routine: 3, text: "the client's name is not UTF-8".to_owned() }),
        }
    }
}

/// Keys to accept with.
pub(super) struct Credential {
    api: Arc<Api>,
    handle: Handle,
}

// SAFETY: the library lets any thread use and release a credential (MIT: a mutex guards what is inside), and nothing
// of it is bound to the thread that made it.
unsafe impl Send for Credential {}
// SAFETY: several threads may accept with one credential at once, for the same reason.
unsafe impl Sync for Credential {}

impl Credential {
    /// The keys of a keytab, for Kerberos and SPNEGO.
    pub(super) fn of_keytab(api: &Arc<Api>, keytab: &CString) -> Result<Self, Status> {
        let mechanisms = [Oid::of(KRB5), Oid::of(SPNEGO)];
        let mechanisms = OidSet { count: mechanisms.len(), elements: mechanisms.as_ptr() };
        let entry = KeyValue { key: c"keytab".as_ptr(), value: keytab.as_ptr() };
        let store = KeyValueSet { count: 1, elements: &raw const entry };
        let (mut minor, mut handle) = (0, null_mut());
        // SAFETY: the sets point to locals and to `keytab`, all of which outlive the call and are copied by the
        // library; the null pointers stand for no name and for results that are not wanted.
        let major = unsafe {
            (api.acquire_cred_from)(
                &raw mut minor,
                null_mut(),
                INDEFINITE,
                &raw const mechanisms,
                ACCEPT,
                &raw const store,
                &raw mut handle,
                null_mut(),
                null_mut(),
            )
        };
        if major & ERROR != 0 || handle.is_null() {
            return Err(api.status(major, minor));
        }
        Ok(Self { api: Arc::clone(api), handle })
    }
}

impl Drop for Credential {
    fn drop(&mut self) {
        let mut minor = 0;
        // SAFETY: the credential is the library's own, and is given back once: its owner ends here.
        unsafe { (self.api.release_cred)(&raw mut minor, &raw mut self.handle) };
    }
}

/// An exchange that is not at its end.
pub(super) struct Context {
    api: Arc<Api>,
    handle: Handle,
}

// SAFETY: a context is used by one thread at a time (it is neither `Sync` nor `Clone`), and nothing of it is bound to
// the thread that made it.
unsafe impl Send for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            let mut minor = 0;
            // SAFETY: the context is the library's own, and is given back once: its owner ends here. A null buffer
            // says that no token is wanted.
            unsafe { (self.api.delete_sec_context)(&raw mut minor, &raw mut self.handle, null_mut()) };
        }
    }
}

/// What one leg came to.
pub(super) enum Leg {
    /// The client is known.
    Established { name: String, is_kerberos: bool, flags: u32, answer: Vec<u8> },
    /// Another leg is needed.
    Continue(Context, Vec<u8>),
}

/// Takes one token of a client.
pub(super) fn accept(
    credential: &Credential,
    context: Option<Context>,
    token: &[u8],
    binding: Option<&[u8]>,
) -> Result<Leg, Status> {
    let api = &credential.api;
    let mut context = context.unwrap_or_else(|| Context { api: Arc::clone(api), handle: null_mut() });
    let bindings = Bindings {
        initiator_addrtype: 0,
        initiator_address: Buffer::EMPTY,
        acceptor_addrtype: 0,
        acceptor_address: Buffer::EMPTY,
        application_data: Buffer::of(binding.unwrap_or_default()),
    };
    let bindings = if binding.is_some() { &raw const bindings } else { null() };
    let token = Buffer::of(token);
    let (mut minor, mut source, mut mechanism, mut flags) = (0, null_mut(), null(), 0);
    let mut answer = Buffer::EMPTY;
    // SAFETY: the credential lives as long as its owner, who is borrowed; the context is null, for a new one, or one
    // that the library made and that nobody else holds; token and bindings point to slices that outlive the call; the
    // other pointers are to locals, or null for what is not wanted (lifetime, delegated credentials).
    let major = unsafe {
        (api.accept_sec_context)(
            &raw mut minor,
            &raw mut context.handle,
            credential.handle,
            &raw const token,
            bindings,
            &raw mut source,
            &raw mut mechanism,
            &raw mut answer,
            &raw mut flags,
            null_mut(),
            null_mut(),
        )
    };
    // An answer may come with an error as well: what was allocated is given back before anything is decided.
    let answer = api.taken(answer);
    let name = if source.is_null() { None } else { Some(api.name(source)) };
    if major & ERROR != 0 {
        return Err(api.status(major, minor));
    }
    if major & CONTINUE_NEEDED != 0 {
        return Ok(Leg::Continue(context, answer));
    }
    match name {
        Some(name) => Ok(Leg::Established { name: name?, is_kerberos: is_krb5(mechanism), flags, answer }),
        None => Err(Status { routine: 3, text: "the library names no client".to_owned() }),
    }
}

fn is_krb5(mechanism: *const Oid) -> bool {
    if mechanism.is_null() {
        return false;
    }
    // SAFETY: the library points to one of its own static identifiers (RFC 2744 section 5.1: "should be treated as
    // read-only"), which live as long as it does.
    let oid = unsafe { *mechanism };
    if oid.elements.is_null() || usize::try_from(oid.length) != Ok(KRB5.len()) {
        return false;
    }
    // SAFETY: the identifier says that so many bytes are there, for as long as the library is.
    let bytes = unsafe { std::slice::from_raw_parts(oid.elements.cast::<u8>(), KRB5.len()) };
    bytes == KRB5
}
