"""What a deployment costs: list prices, resources and the stated load in, an explained estimate out.

Nothing here knows Pulumi, AWS's API or another package of the platform.
"""
