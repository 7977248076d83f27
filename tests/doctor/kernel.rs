//! Kernels that have less than we ask of them.

use crate::support::{Patient, Report};
use std::process::Command;

/// Runs a program in a kernel without Landlock, as far as it can tell: seccomp answers its first system
/// call (444) with ENOSYS.
const WITHOUT_LANDLOCK: &str = r#"
import ctypes, os, struct, sys
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
program = Program(len(rules), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execv(sys.argv[1], sys.argv[1:])
"#;

#[test]
fn a_kernel_that_holds_media_work_less_is_told() {
    let patient = Patient::laptop();
    assert_eq!(patient.looked_at().findings["fence"].state, "ok");
    let looking = patient.command(env!("CARGO_BIN_EXE_reelmill"));
    let mut older = Command::new("python3");
    older.args(["-c", WITHOUT_LANDLOCK]).arg(looking.get_program()).args(looking.get_args());
    older.arg("--json").env_clear();
    older.envs(looking.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let report = Report::of(&mut older);
    let told = &report.findings["fence"];
    assert_eq!(told.state, "warning", "{}", report.text);
    assert!(told.found.contains("seccomp") && told.found.contains("only"), "{}", report.text);
    assert!(told.remedy.contains("Linux 6.12"), "{}", report.text);
    assert_eq!(report.code, Some(0), "{}", report.text);
}
