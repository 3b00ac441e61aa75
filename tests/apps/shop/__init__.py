"""A shop in several files: a factory that reads the YAML, blueprints, templates, error handlers."""

import flask
import yaml

from . import cart, catalog, errors


def create_app(config="config.yaml"):
    app = flask.Flask(__name__)
    app.config.from_file(config, load=yaml.safe_load)
    app.config.from_mapping(app.config["FLASK"])
    app.register_blueprint(catalog.blueprint)
    app.register_blueprint(cart.blueprint, url_prefix="/cart")
    errors.register(app)
    return app
