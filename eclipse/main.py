"""The example app: a factory that reads its own block of config.yaml, and a few routes."""

import yaml
from flask import Flask, abort, render_template


def create_app(config):
    app = Flask(__name__)
    with open(config, encoding="utf-8") as file:
        app.config.from_mapping(yaml.safe_load(file)["FLASK"])

    @app.get("/")
    def index():
        return render_template("index.html", greeting=app.config["GREETING"])

    @app.get("/hello/<name>")
    def hello(name):
        greeting = f"{app.config['GREETING']}, {name}!"
        return greeting  # a good line for a breakpoint

    @app.get("/error")
    def error():
        prices = {"tea": 3}
        return str(prices["coffee"])  # nobody handles this KeyError: the debugger stops here

    @app.get("/missing")
    def missing():
        abort(404)  # handled by Flask: the debugger does not stop here

    return app


if __name__ == "__main__":
    import flask_debuglaunch

    flask_debuglaunch.run(create_app(config="config.yaml"), config="config.yaml")
