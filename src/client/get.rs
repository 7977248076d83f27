//! `reelmill get`: the verified recording comes out.

use super::{Out, error::ClientError, http::Client, progress::Progress, text::plain};
use api::can_mislead;
use connectors::causes;
use percent_encoding::percent_decode_str;
use reqwest::header::CONTENT_DISPOSITION;
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// Writes the recording to `output`, which may be a folder; to the recording's own name in the
/// current folder where absent, but over nothing that is there. A transfer that breaks off leaves
/// no file.
pub async fn get(
    client: &Client,
    video: &str,
    output: Option<PathBuf>,
    out: Out<'_>,
) -> Result<PathBuf, ClientError> {
    let request = client.get(&["api", "videos", video, "recording"]);
    let mut answer = client.send(request).await?;
    let told = answer.headers().get(CONTENT_DISPOSITION).and_then(|value| value.to_str().ok());
    let name = told.and_then(file_name).unwrap_or_else(|| "recording.mp4".to_owned());
    let (path, replace) = match output {
        Some(path) if path.is_dir() => (path.join(&name), false),
        Some(path) => (path, true),
        None => (PathBuf::from(&name), false),
    };
    if !replace && path.exists() {
        return Err(ClientError::AlreadyThere(path));
    }

    let mut file = part_file(&path).map_err(ClientError::file(&path))?;
    let progress = Progress::new(false);
    let bar = progress.bytes(&name, answer.content_length());
    while let Some(piece) =
        answer.chunk().await.map_err(|error| ClientError::Broken(causes(&error)))?
    {
        file.write_all(&piece).map_err(ClientError::file(&path))?;
        bar.inc(piece.len() as u64);
    }
    bar.finish_and_clear();
    let kept = if replace { file.persist(&path) } else { file.persist_noclobber(&path) };
    kept.map_err(|error| ClientError::File { path: path.clone(), cause: error.error })?;
    writeln!(out, "{}", plain(&path.display().to_string()))?;
    Ok(path)
}

/// Beside its final place, so that renaming is one step; gone unless it is renamed.
fn part_file(path: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".reelmill-").suffix(".part");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // A recording is like any other file, not a secret: the umask decides.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder.unwrap_or(Path::new(".")))
}

/// The name of a `Content-Disposition`, never a path. Understands what a mill sends: `filename*`
/// in UTF-8 (RFC 8187), else a plain `filename`.
fn file_name(header: &str) -> Option<String> {
    let value = |name: &str| {
        let mut parameters = header.split(';').map(str::trim);
        parameters.find_map(|parameter| parameter.strip_prefix(name)?.strip_prefix('='))
    };
    let full = value("filename*").and_then(|value| value.strip_prefix("UTF-8''"));
    let name = match full {
        Some(name) => percent_decode_str(name).decode_utf8().ok()?.into_owned(),
        None => value("filename")?.trim_matches('"').to_owned(),
    };
    let name: String =
        name.rsplit(['/', '\\']).next()?.chars().filter(|c| !can_mislead(*c)).collect();
    // Neither `..` nor a file that hides itself.
    let name = name.trim_start_matches(['.', ' ']).to_owned();
    let cut = name.floor_char_boundary(name.len().min(200));
    match name.get(cut..) {
        Some("") => (!name.is_empty()).then_some(name),
        _ => Some(format!("{}.mp4", &name[..cut])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_a_path() {
        for (header, name) in [
            ("inline; filename=\"talk.mp4\"", Some("talk.mp4")),
            (
                "inline; filename=\"a.mp4\"; filename*=UTF-8''gr%C3%B6%C3%9Fe%3B%201.mp4",
                Some("größe; 1.mp4"),
            ),
            ("attachment; filename=\"../../.ssh/authorized_keys\"", Some("authorized_keys")),
            ("attachment; filename*=UTF-8''..%2F..%2F.bashrc", Some("bashrc")),
            ("attachment; filename=\"C:\\\\boot.ini\"", Some("boot.ini")),
            ("attachment; filename*=UTF-8''%E2%80%AE4pm.exe", Some("4pm.exe")),
            ("attachment; filename=\"..\"", None),
            ("attachment; filename=\"\"", None),
            ("inline", None),
        ] {
            assert_eq!(file_name(header).as_deref(), name, "{header}");
        }
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let name = file_name(&format!("inline; filename=\"{}.mp4\"", "ö".repeat(300)));
        assert!(name.is_some_and(|name| name.len() <= 204 && name.ends_with("ö.mp4")));
    }
}
