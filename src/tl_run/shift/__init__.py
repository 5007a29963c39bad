"""tl-shift: how far apart two domains lie before anything is trained, beside how far apart halves of one lie."""
