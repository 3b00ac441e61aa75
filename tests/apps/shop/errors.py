"""Errors of the shop, and pages for them."""

import flask


class NotSold(Exception):
    """There is no such product."""


def register(app):
    @app.errorhandler(NotSold)
    def not_sold(error):
        return {"not sold": error.args[0]}, 404

    @app.errorhandler(404)
    def missing(_error):
        return flask.render_template("error.html", title="There is no such page"), 404

    @app.errorhandler(500)
    def failed(_error):
        return flask.render_template("error.html", title="That is our fault"), 500
