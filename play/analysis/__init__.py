"""KataGo's JSON analysis protocol, for KaTrain."""
