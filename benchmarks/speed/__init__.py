"""How fast it is, beside other runtimes and the limits of the machine; how much memory it takes."""
