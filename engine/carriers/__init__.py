"""Who can bring a parcel, when and for how much: services, rate cards, choice, waybills.

A quote names the version of the card that it was made by; a version that took effect never changes.
"""
