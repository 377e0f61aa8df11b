"""What is done with a topic that is there, by the kind of the scenario.

Each module has `drive(scenario, driver, peer, words, records) -> Driven`: it has the driver do the load, reads what was sent, and
takes the broker's figures. `words` are those that the driver needs of the topic and of the producers.
"""

from . import catch_up, load, tail

ALL = {"load": load, "tail": tail, "catch-up": catch_up}
