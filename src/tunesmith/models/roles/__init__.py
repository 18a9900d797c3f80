"""Models in the roles that other rooms know: what embeds, answers, fills, tags or labels."""
