//! Finds the kernels in a preprocessed source, where comments are gone and macros expanded.

/// A kernel as its source declares it.
pub(crate) struct Kernel {
    pub(crate) name: String,
    /// The expression in `__launch_bounds__`; 1024 without one.
    pub(crate) max_threads: String,
    /// Names of the parameters, in order.
    pub(crate) parameters: Vec<String>,
    /// Whether one of them is a map, whose numbers are of the type `activation`.
    pub(crate) treats_maps: bool,
}

/// The kernels of a source.
pub(crate) fn kernels(text: &str) -> Result<Vec<Kernel>, String> {
    let mut kernels = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("__global__") {
        let before = rest[..at].trim_end();
        rest = &rest[at + "__global__".len()..];
        let kernel = kernel(rest).ok_or("cannot read what follows __global__")?;
        if !before.ends_with("extern \"C\"") {
            return Err(format!("kernel {} needs extern \"C\" right before __global__", kernel.name));
        }
        kernels.push(kernel);
    }
    Ok(kernels)
}

/// Reads `void __launch_bounds__(256) name(In<float> x, unsigned n)`, the parts before the name in any order.
fn kernel(mut text: &str) -> Option<Kernel> {
    let mut max_threads = "1024".to_owned();
    loop {
        text = text.trim_start();
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
        let (word, rest) = text.split_at(end);
        text = rest.trim_start();
        match (word, text.starts_with('(')) {
            ("", _) => return None,
            ("__launch_bounds__", true) => {
                let (inner, rest) = parenthesised(text)?;
                max_threads = commas(inner).first()?.trim().to_owned();
                text = rest;
            }
            (name, true) => {
                let declared = commas(parenthesised(text)?.0);
                let treats_maps = declared.iter().any(|p| p.contains("<activation>"));
                let parameters = declared.iter().map(|p| last_word(p)).collect();
                return Some(Kernel { name: name.to_owned(), max_threads, parameters, treats_maps });
            }
            _ => {}
        }
    }
}

/// What lies in the parentheses that `text` begins with, and what follows them.
fn parenthesised(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if depth == 0 {
            return Some((&text[1..at], &text[at + 1..]));
        }
    }
    None
}

/// Splits at the commas outside of parentheses and angle brackets.
fn commas(text: &str) -> Vec<&str> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    let mut parts = Vec::new();
    let mut depth = 0;
    let mut from = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '<' => depth += 1,
            ')' | '>' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

fn last_word(parameter: &str) -> String {
    let word = parameter.trim_end().rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next();
    word.unwrap_or_default().to_owned()
}
