"""What is sold."""

import flask

from .errors import NotSold

blueprint = flask.Blueprint("catalog", __name__)
PRODUCTS = {1: "tea", 2: "coffee"}


@blueprint.get("/")
def index():
    return flask.render_template("index.html", products=PRODUCTS)


@blueprint.get("/product/<int:number>")
def product(number):
    if number not in PRODUCTS:
        raise NotSold(number)
    return {"number": number, "name": PRODUCTS[number]}


@blueprint.get("/list.csv")
def listed():
    def rows():
        for number, name in PRODUCTS.items():
            yield f"{number},{name}\n"

    return flask.Response(rows(), mimetype="text/csv")
