"""From a request to an answer over a chain of models: rules, specialist, general model, refusal."""
