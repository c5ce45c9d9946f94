//! Templates of an installation's own, from a folder laid out as the shipped ones: `zh-CN/topup_failing.subject`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Longer than any message; a file of this size is not a template.
const LONGEST: u64 = 256 * 1024;
const MOST: usize = 1_000;

/// Why a folder of templates can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplatesError {
    #[error("cannot read the templates in {path}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is longer than {LONGEST} bytes, which no template is", path = path.display())]
    TooLong { path: PathBuf },
    #[error("{path} has more than {MOST} files; expected a folder of templates", path = path.display())]
    TooMany { path: PathBuf },
}

/// The templates in a folder and in its folders of languages, by their names. Other files are left alone.
pub fn read(folder: &Path) -> Result<BTreeMap<String, String>, TemplatesError> {
    let mut templates = BTreeMap::new();
    collect(folder, "", &mut templates)?;
    for locale in crate::delivery::customers::Locale::ALL {
        let inner = folder.join(locale.as_str());
        if inner.is_dir() {
            collect(&inner, &format!("{locale}/"), &mut templates)?;
        }
    }
    Ok(templates)
}

fn collect(
    folder: &Path,
    prefix: &str,
    templates: &mut BTreeMap<String, String>,
) -> Result<(), TemplatesError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| TemplatesError::Read { path, source }
    };
    for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        let is_template = path
            .extension()
            .is_some_and(|ending| ["subject", "txt", "html"].iter().any(|known| ending == *known));
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|_| is_template) else {
            continue;
        };
        if path.metadata().map_err(failed(&path))?.len() > LONGEST {
            return Err(TemplatesError::TooLong { path });
        }
        let text = std::fs::read_to_string(&path).map_err(failed(&path))?;
        templates.insert(format!("{prefix}{name}"), text);
        if templates.len() > MOST {
            return Err(TemplatesError::TooMany { path: folder.to_owned() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::render::{RenderSettings, Templates};

    #[test]
    fn what_lies_in_a_folder_takes_the_place_of_what_is_shipped() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        write("zh-CN/trouble_over.subject", "好了 {{ reference }}");
        write("layout.html", "<p>{% block body %}{% endblock %}</p>");
        write("README.md", "not a template {{");
        write("fr/trouble_over.subject", "an unknown language {{");
        let templates = read(folder.path()).expect("read");
        assert_eq!(templates.keys().collect::<Vec<_>>(), ["layout.html", "zh-CN/trouble_over.subject"]);
        Templates::load(RenderSettings::default(), templates).expect("sound");
        write("en/long.txt", &"x".repeat(300_000));
        let error = read(folder.path()).expect_err("too long").to_string();
        assert!(error.contains("long.txt is longer than"), "{error}");
        let missing = read(&folder.path().join("nowhere")).expect_err("missing").to_string();
        assert!(missing.starts_with("cannot read the templates in"), "{missing}");
    }
}
