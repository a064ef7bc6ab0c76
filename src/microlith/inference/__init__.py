"""Models that answer requests, and what they share. Nothing here needs torch.

    protocol    Model, Prediction, FieldPrediction
    rules       RulesModel: a task's own function
    linear      LinearModel, fit_linear: TF-IDF and logistic regression
    fake        FakeModel: scripted answers, for callers' tests

Import from the modules: loading one model's code does not load the others'.
"""
