"""The commands of `dlkd` by their names."""

import typer

from dlkd.cli import (
    ablate,
    app_command,
    calibrate,
    check,
    data,
    evaluate,
    export,
    predict,
    report,
    results,
    show,
    train,
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Compose, train and ablate visual anomaly detectors; find out which parts help.",
)
data_app = typer.Typer(no_args_is_help=True, help="Inspect datasets, and write the embedded ones to a folder.")

app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("calibrate")(calibrate.calibrate)
app.command("app")(app_command.app)
app.command("export")(export.export)
app.command("ablate")(ablate.ablate)
app.command("report")(report.report)
app.command("compare")(report.compare)
app.command("results")(results.results)
app.command("list")(show.list_command)
app.command("show")(show.show)
app.command("check")(check.check)
app.command("schema")(check.schema)
data_app.command("inspect")(data.inspect)
data_app.command("prepare")(data.prepare)
app.add_typer(data_app, name="data")
