"""What the visitor has chosen, kept in the session."""

import flask

blueprint = flask.Blueprint("cart", __name__)


@blueprint.get("/")
def show():
    return flask.render_template("cart.html", chosen=flask.session.get("chosen", []))


@blueprint.post("/")
def add():
    chosen = [*flask.session.get("chosen", []), flask.request.form["name"]]
    flask.session["chosen"] = chosen
    return flask.redirect(flask.url_for(".show"), 303)


@blueprint.get("/pay")
def pay():
    return 1 / len(flask.session.get("chosen", []))


@blueprint.errorhandler(ZeroDivisionError)
def empty(_error):
    return "the cart is empty", 409


@blueprint.get("/lose")
def lose():
    raise LookupError("the cart is lost")
