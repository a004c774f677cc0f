"""Why a shop may sell so many of a SKU and no more: the chain through all layers of stock."""
