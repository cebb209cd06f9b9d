//! How an error is told to people: on one line, with all that caused it.

use std::error::Error;

/// The error and all its causes, from the act to the kernel's word.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::LinkError;

    #[test]
    fn the_act_comes_before_its_cause() {
        let error = LinkError::Io(std::io::Error::other("no descriptor is free"));
        assert_eq!(with_causes(&error), "cannot use a link: no descriptor is free");
    }
}
