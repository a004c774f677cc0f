"""smoke"""
from tests.fault.engines import house, open_sale, certificate, id_of

async def test_smoke(settings):
    async with house(settings) as here:
        await here.worker()
        a = await here.api()
        await open_sale(a, A=10)
        r = await a.buy("1")
        print(r)
        assert r.status == 202
        print(await a.pay(id_of("1"), "p", 100))
        await certificate(a)
